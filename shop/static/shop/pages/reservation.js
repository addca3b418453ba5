// One reservation through its whole life: held with a timer, being paid, paid with entry codes, or over.

import {ApiError, NotSupported} from "../client/index.js";
import {
    $,
    ask,
    client,
    config,
    countdown,
    duration,
    everySecondUntil,
    explain,
    h,
    money,
    moment,
    session,
    shortDay,
    show,
    signInPanel,
    speak,
    svg,
    t,
    toast,
} from "../page.js";

const POLL_MS = 2000;
const SOON_SECONDS = 60;
const WARN_AT = [60, 20]; // seconds

const id = config.reservation;
const own = `/shop/reservations/${id}`;
let reservation;
let isBeingPaid = false;
let stopTimer = () => {};
let pollTimer = 0;
let shown = "";

// --- What it is ---

/** One of pending, confirmed, cancelled, expired: a hold past its deadline has expired, whatever its status says yet. */
function stateOf({status, isExpired}) {
    return status === "pending" && isExpired ? "expired" : status;
}

async function load() {
    try {
        reservation = await client.reservation(id);
    } catch (error) {
        return missing(error);
    }
    draw();
}

function draw() {
    const state = stateOf(reservation);
    const signature = JSON.stringify([
        state,
        isBeingPaid,
        reservation.expires_at,
        reservation.total_amount,
        reservation.seats.length,
    ]);
    if (signature === shown) return;
    shown = signature;
    stopTimer();
    clearInterval(pollTimer);
    $("event-name").textContent = `${reservation.event_title} · ${shortDay(reservation.event_date)}`;
    $("reservation").setAttribute("aria-busy", "false");
    const draws = {pending: drawHeld, confirmed: drawPaid, cancelled: drawCancelled, expired: drawExpired};
    draws[state]();
    document.title = `${$("heading").textContent} – ${t("shop")}`;
}

function missing(error) {
    if (reservation) return toast(explain(error)); // a connection that comes back
    const isMissing = error instanceof ApiError && (error.status === 404 || error.status === 400);
    $("heading").textContent = isMissing ? t("reservation_missing") : explain(error);
    $("reservation").setAttribute("aria-busy", "false");
    $("body").replaceChildren(h("a", {class: "button", href: "/shop/tickets"}, t("my_tickets")));
}

function heading(text, message = "") {
    $("heading").textContent = text;
    $("status").replaceChildren(...(message ? [h("p", {}, message)] : []));
}

const nameOf = (item) => item.seatLabel ?? `${item.ticketTypeName}${item.quantity > 1 ? ` × ${item.quantity}` : ""}`;
const priceOf = (item) => item.price * (item.quantity ?? 1);

function items() {
    return h(
        "ul",
        {class: "items"},
        reservation.seats.map((item) => h("li", {}, h("span", {}, nameOf(item)), h("span", {}, money(priceOf(item))))),
    );
}

const sum = () => h("p", {class: "sum"}, h("span", {}, t("total")), h("strong", {}, money(reservation.total_amount)));

// --- Held ---

function drawHeld() {
    heading(t("held_for_you"), wasSentBack() && !isBeingPaid ? t("payment_failed") : "");
    const time = h("strong", {});
    const soon = h("p", {class: "notice", hidden: true}, t("time_soon"));
    const timer = h(
        "div",
        {class: "timer", role: "timer", "aria-live": "off"},
        h("span", {class: "label"}, t("time_left")),
        time,
    );
    const extend = h("button", {type: "button", onclick: askForTime}, t("extend"));
    const giveBack = h("button", {type: "button", class: "plain", onclick: cancelHold}, t("give_back"));
    $("body").replaceChildren(
        h(
            "div",
            {class: "block"},
            h("div", {class: "row"}, timer, extend),
            soon,
            items(),
            sum(),
            isBeingPaid ? h("p", {class: "notice"}, t("being_paid")) : null,
            h("div", {class: "actions"}, payButton(), giveBack),
        ),
    );
    const warned = new Set();
    stopTimer = everySecondUntil(reservation.expires_at, (seconds) => {
        time.textContent = countdown(seconds);
        timer.classList.toggle("soon", seconds <= SOON_SECONDS);
        show(soon, seconds <= SOON_SECONDS && seconds > 0);
        const mark = WARN_AT.find((each) => seconds <= each && seconds > each - 3 && !warned.has(each));
        if (mark) {
            warned.add(mark);
            speak(`${t("time_left_spoken", {time: duration(seconds)})} ${t("time_soon")}`);
        }
        if (seconds > -0.5) return true;
        load();
        return false;
    });
    pollTimer = setInterval(load, isBeingPaid || wasSentBack() ? POLL_MS : 5 * POLL_MS);
}

function payButton() {
    if (reservation.total_amount === 0)
        return h("button", {type: "button", class: "primary", onclick: confirmFree}, t("confirm_free"));
    if (!config.paymentUrl) return h("p", {class: "notice"}, t("payment_unavailable"));
    return h("a", {class: "button primary", href: paymentAddress()}, t("pay", {amount: money(reservation.total_amount)}));
}

/** The payment service's page. What it sends back is only where the browser goes: whether it is paid, the API says. */
function paymentAddress() {
    const address = new URL(config.paymentUrl, location.origin);
    address.searchParams.set("reservation", id);
    address.searchParams.set("number", reservation.reservation_number);
    address.searchParams.set("amount", reservation.total_amount);
    address.searchParams.set("return", `${location.origin}${own}?from=payment`);
    return address.href;
}

const wasSentBack = () => new URLSearchParams(location.search).get("from") === "payment";

async function attempt(call, done = "") {
    try {
        await call();
        if (done) toast(t(done));
    } catch (error) {
        toast(explain(error));
    }
    shown = "";
    await load();
}

const askForTime = () => attempt(() => client.extend(id), "extended");

async function cancelHold() {
    if (!(await ask(t("give_back_sure"), t("give_back_yes"), t("keep")))) return;
    attempt(() => client.cancel(id));
}

const confirmFree = () =>
    attempt(async () => {
        const response = await fetch(`${own}/confirm`, {method: "POST", headers: session.headers()});
        if (!response.ok) throw new Error(response.statusText);
    });

// --- Paid ---

async function drawPaid() {
    heading(t("confirmed_title"), t("confirmed_body"));
    const stubs = h("div", {class: "stubs", "aria-busy": "true"});
    const refund = h("details", {}, h("summary", {}, t("give_back")), h("div", {class: "block"}));
    $("body").replaceChildren(
        h("div", {class: "block"}, stubs, h("p", {class: "quiet"}, t("entry_code_help")), facts(), refund),
    );
    let codes = [];
    try {
        codes = (await client.http.request("GET", `/reservations/${id}/entry-codes`)).data.entryCodes;
    } catch (error) {
        if (!(error instanceof NotSupported)) toast(explain(error));
    }
    stubs.replaceChildren(...codes.map(stub));
    stubs.setAttribute("aria-busy", "false");
    drawCancelling(refund.lastElementChild, codes);
}

function facts() {
    const fact = (key, value) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, value));
    return h(
        "dl",
        {class: "facts two"},
        fact("when", moment(reservation.event_date)),
        fact("where", reservation.venue),
        fact("number", reservation.reservation_number),
        fact("amount", money(reservation.total_amount)),
    );
}

function stub({qr, seatLabel, ticketTypeName}) {
    const name = seatLabel ?? ticketTypeName;
    const code = svg(
        "svg",
        {viewBox: `0 0 ${qr.size} ${qr.size}`, class: "qr", role: "img", "aria-label": t("entry_code", {name})},
        svg("path", {d: qr.path, fill: "#000", "shape-rendering": "crispEdges"}),
    );
    return h(
        "section",
        {class: "stub entry"},
        h(
            "div",
            {class: "body"},
            h("p", {class: "label"}, reservation.event_title),
            h("p", {class: "for"}, name),
            h("p", {}, moment(reservation.event_date)),
            h("p", {class: "quiet"}, reservation.venue),
        ),
        h("div", {class: "tear"}, code),
    );
}

// --- Cancelling what is paid ---

/** The parts that can be cancelled by themselves: each seat, and each ticket. */
function parts(codes) {
    return codes.map(({seatId, seatLabel, ticketTypeId, ticketTypeName}) => {
        const item = reservation.seats.find((each) =>
            seatId ? each.seatId === seatId : each.ticketTypeName === ticketTypeName,
        );
        return {seatId, ticketTypeId, name: seatLabel ?? ticketTypeName, price: item?.price ?? 0};
    });
}

function drawCancelling(place, codes) {
    const all = parts(codes);
    const boxes = all.map((part) => ({part, box: h("input", {type: "checkbox"})}));
    const button = h("button", {type: "button", disabled: true});
    const chosen = () => boxes.filter(({box}) => box.checked).map(({part}) => part);
    const update = () => {
        const amount = chosen().reduce((total, {price}) => total + price, 0);
        const isAll = chosen().length === all.length;
        button.disabled = chosen().length === 0;
        button.textContent = t(isAll ? "cancel_all" : "cancel_selected", {amount: money(amount)});
    };
    for (const {box} of boxes) box.addEventListener("change", update);
    button.addEventListener("click", async () => {
        if (await ask(t("cancel_sure"), t("cancel_yes"), t("keep"))) cancelParts(chosen(), all.length);
    });
    const list = h(
        "ul",
        {class: "items"},
        boxes.map(({part, box}) => h("li", {}, h("label", {}, box, part.name), h("span", {}, money(part.price)))),
    );
    place.replaceChildren(h("p", {}, t("cancel_part_help")), list, button);
    update();
}

function cancelParts(chosen, count) {
    const tickets = new Map();
    for (const {ticketTypeId} of chosen) if (ticketTypeId) tickets.set(ticketTypeId, (tickets.get(ticketTypeId) ?? 0) + 1);
    const items_ = [
        ...chosen.filter(({seatId}) => seatId).map(({seatId}) => ({seatId})),
        ...[...tickets].map(([ticketTypeId, quantity]) => ({ticketTypeId, quantity})),
    ];
    const amount = money(chosen.reduce((total, {price}) => total + price, 0));
    return attempt(async () => {
        await client.cancel(id, chosen.length === count ? {} : {items: items_});
        toast(t("part_cancelled", {amount}));
    });
}

// --- Over ---

function drawCancelled() {
    heading(
        t("cancelled_reservation"),
        reservation.payment_status === "refunded" || reservation.payment_status === "completed" ? t("refund_body") : "",
    );
    $("body").replaceChildren(h("div", {class: "block"}, items(), again()));
}

function drawExpired() {
    heading(t("expired_title"), t("expired_body"));
    $("body").replaceChildren(h("div", {class: "block"}, items(), again()));
    pollTimer = setInterval(load, 5 * POLL_MS); // a payment that is a little late may still count
}

const again = () => h("a", {class: "button primary", href: `/shop/events/${reservation.event_id}`}, t("start_again"));

async function begin() {
    if (!(await session.ready)) {
        $("heading").textContent = t("your_reservation");
        $("reservation").setAttribute("aria-busy", "false");
        return $("body").replaceChildren(signInPanel());
    }
    await load();
}

begin();
