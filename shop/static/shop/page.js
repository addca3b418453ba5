// What every page has: its settings and texts, elements, formats, messages, and the client of the API.

import {ApiError, NetworkError, TicketClient} from "./client/index.js";
import {session} from "./session.js";
import {config} from "./config.js";

export {config} from "./config.js";
export {session} from "./session.js";

const texts = JSON.parse(document.getElementById("texts").textContent);

/** The text for a key, with `{name}` filled in. */
export function t(key, values = {}) {
    return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// The API for these pages takes the token from a cookie that no script can read. Anywhere else this would be
// `new TicketClient({base: "https://tickets.example.org", token: () => myToken})`.
export const client = new TicketClient({
    base: config.api,
    sockets: config.realtime,
    fetch: (address, options = {}) => fetch(address, {...options, headers: {...options.headers, ...session.headers()}}),
    renew: () => session.renew(),
});

/** The waiting room of an event. Its socket takes the token from the cookie, too. */
export const queueFeed = (eventId) =>
    client.queue(eventId, {url: `${config.realtime}/shop/ws/queue/${eventId}${session.query()}`});

// --- Elements ---

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** A new element. `attributes`: those that begin with "on" are handlers; true is an attribute without a value. */
export function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (value === true) element.setAttribute(name, "");
        else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
}

export function show(element, isShown = true) {
    element.hidden = !isShown;
    return element;
}

// --- Formats ---

const locale = config.language === "ko" ? "ko-KR" : "en-GB";
const zone = {timeZone: config.timeZone};
const dateFormat = new Intl.DateTimeFormat(locale, {...zone, year: "numeric", month: "long", day: "numeric"});
const weekdayFormat = new Intl.DateTimeFormat(locale, {...zone, weekday: "short"});
const timeFormat = new Intl.DateTimeFormat(locale, {...zone, hour: "numeric", minute: "2-digit"});
const shortFormat = new Intl.DateTimeFormat(locale, {...zone, month: "short", day: "numeric", weekday: "short"});
const numberFormat = new Intl.NumberFormat(locale);

export const number = (value) => numberFormat.format(value);
export const day = (text) => `${dateFormat.format(new Date(text))} (${weekdayFormat.format(new Date(text))})`;
export const shortDay = (text) => shortFormat.format(new Date(text));
export const clock = (text) => timeFormat.format(new Date(text));
export const moment = (text) => `${day(text)} ${clock(text)}`;

export function money(amount) {
    if (amount === 0) return t("free");
    return config.language === "ko" ? `${number(amount)}원` : `₩${number(amount)}`;
}

const FEW = 20;

/** How many of a ticket type are left. */
export function stock(count) {
    if (count === 0) return t("left_none");
    return t(count <= FEW ? "left_few" : "left", {count: number(count)});
}

/** Seconds, as people say them: "3 min", "40 s". */
export function duration(seconds) {
    const space = config.language === "ko" ? "" : " ";
    if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))}${space}${t("seconds")}`;
    if (seconds < 5400) return `${Math.round(seconds / 60)}${space}${t("minutes")}`;
    return `${(seconds / 3600).toFixed(1)}${space}${t("hours")}`;
}

/** Seconds, as a clock shows them: "4:05". */
export function countdown(seconds) {
    const left = Math.max(0, Math.ceil(seconds));
    return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

export const statusPill = (status) => h("p", {class: `pill ${status}`}, t(`status_${status}`));

// --- Deadlines ---

/** Calls `tick` with the seconds that are left by this computer's clock, each second, until it returns false. */
export function everySecondUntil(text, tick) {
    const until = Date.parse(text);
    const step = () => {
        if (tick((until - Date.now()) / 1000) === false) clearInterval(timer);
    };
    const timer = setInterval(step, 1000);
    step();
    return () => clearInterval(timer);
}

// --- Messages ---

let toastTimer = 0;

/** A short message at the bottom; a screen reader says it, too. */
export function toast(message) {
    clearTimeout(toastTimer);
    $("toast").textContent = message;
    toastTimer = setTimeout(() => ($("toast").textContent = ""), 6000);
}

/** Says something to screen readers only. */
export function speak(message) {
    $("spoken").textContent = message;
}

/** What to tell a buyer about an error. */
export function explain(error) {
    if (error instanceof NetworkError) return t("error_offline");
    if (!(error instanceof ApiError)) return t("error");
    const known = t(error.code);
    if (known !== error.code) return known;
    return config.language === "ko" && error.message ? error.message : t("error");
}

/** Asks before something that cannot be undone. True if the buyer says yes. */
export function ask(question, yes, no) {
    return new Promise((resolve) => {
        const dialog = h(
            "dialog",
            {"aria-labelledby": "question"},
            h("h2", {id: "question"}, question),
            h(
                "form",
                {method: "dialog", class: "row"},
                h("button", {class: "primary", value: "yes"}, yes),
                h("button", {value: "no", autofocus: true}, no),
            ),
        );
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(dialog.returnValue === "yes");
        });
        document.body.append(dialog);
        dialog.showModal();
    });
}

/** A link to where one signs in, and comes back from to this page. */
function signInLink(className) {
    const then = encodeURIComponent(location.pathname + location.search);
    return h("a", {class: className, href: `/shop/session/login?then=${then}`}, t("sign_in"));
}

/** A panel in place of what only somebody who is signed in can see. */
export function signInPanel() {
    return h(
        "div",
        {class: "panel"},
        h("p", {}, t("sign_in_first")),
        config.canSignIn ? signInLink("button primary") : h("p", {class: "quiet"}, t("sign_in_unavailable")),
    );
}

// --- The top of the page ---

$("language").addEventListener("click", (event) => {
    event.preventDefault();
    const address = new URL(location.href);
    address.searchParams.set("lang", event.currentTarget.hreflang);
    location.assign(address);
});

$("theme").addEventListener("click", () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
    const theme = isDark ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("shop-theme", theme);
});

function demoMenu(name) {
    const select = h("select", {"aria-label": t("demo_switch")});
    for (const [index, each] of config.demoNames.entries()) {
        select.append(h("option", {value: index + 1, selected: index + 1 === session.buyer}, each));
    }
    if (session.buyer > config.demoNames.length) select.prepend(h("option", {value: session.buyer, selected: true}, name));
    select.addEventListener("change", () => session.become(Number(select.value)));
    return h(
        "details",
        {},
        h("summary", {}, name),
        h(
            "div",
            {class: "menu"},
            h("p", {}, h("strong", {}, t("demo_you_are", {name}))),
            select,
            h("a", {class: "button", href: location.href, target: "_blank", rel: "noopener"}, t("demo_other_tab")),
            h("p", {class: "quiet"}, t("demo_hint")),
            h("a", {href: "/admin/demo-crowd/"}, t("demo_crowd")),
        ),
    );
}

async function showAccount() {
    const user = await session.ready;
    if (config.hasDemoBuyers) {
        $("account").replaceChildren(demoMenu(session.demoName()));
    } else if (user) {
        const leave = h("button", {type: "button", onclick: () => session.signOut()}, t("sign_out"));
        $("account").replaceChildren(
            h("details", {}, h("summary", {}, user.name || user.email), h("div", {class: "menu"}, leave)),
        );
    } else if (config.canSignIn) {
        $("account").replaceChildren(signInLink("button"));
    }
}

showAccount().catch(() => {}); // a page that shows events does without
document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") $("account").querySelector("details")?.removeAttribute("open");
});

const outcome = new URLSearchParams(location.search).get("sign-in");
if (outcome === "failed" || outcome === "unavailable") toast(t(`sign_in_${outcome}`));
