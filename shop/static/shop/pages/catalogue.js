// The catalogue: search with suggestions, filters, and a grid of posters.

import {poster} from "../poster.js";
import {$, client, explain, h, money, number, shortDay, show, statusPill, t, toast} from "../page.js";

const PAGE_SIZE = 24;
const TYPING_MS = 180;
const SUGGESTIONS = 6;

const search = $("q");
const list = $("suggestions");
const DEFAULT = "on_sale"; // without a search; with one, all
let wanted = {q: "", status: "", page: 1}; // `status` as it was chosen; empty: not yet
let asked = 0;

// --- Events ---

function card(event) {
    const prices =
        event.min_price === null
            ? null
            : event.min_price === event.max_price
              ? money(event.min_price)
              : t("price_from", {price: money(event.min_price)});
    const isOver = event.status === "ended" || event.status === "cancelled";
    return h(
        "li",
        {class: isOver ? "over" : null},
        poster(event),
        statusPill(event.status),
        h("h2", {}, h("a", {href: `/shop/events/${event.id}`}, event.title)),
        h("p", {class: "meta"}, shortDay(event.event_date), " · ", event.venue),
        event.status === "upcoming"
            ? h("p", {class: "meta"}, t("sale_opens", {when: shortDay(event.sale_start_date)}))
            : prices && h("p", {class: "price"}, prices),
    );
}

async function load() {
    const number_ = ++asked;
    $("events").setAttribute("aria-busy", "true");
    try {
        const {events, pagination} = await client.events({
            q: wanted.q || undefined,
            status: shownStatus() === "all" ? undefined : shownStatus(),
            page: wanted.page,
            limit: PAGE_SIZE,
        });
        if (number_ !== asked) return;
        const cards = events.map(card);
        if (wanted.page === 1) $("events").replaceChildren(...cards);
        else $("events").append(...cards);
        $("count").textContent = pagination.total === 1 ? t("found_one") : t("found", {count: number(pagination.total)});
        show($("empty"), pagination.total === 0);
        show($("more"), pagination.page < pagination.totalPages);
        if (wanted.page > 1) cards[0]?.querySelector("a").focus();
    } catch (error) {
        if (number_ === asked) toast(explain(error));
    }
    if (number_ === asked) $("events").setAttribute("aria-busy", "false");
}

const shownStatus = () => wanted.status || (wanted.q ? "all" : DEFAULT);

function showFilter() {
    const filter = $("filters").querySelector(`[value="${CSS.escape(shownStatus())}"]`);
    if (filter) filter.checked = true;
}

function want(changed) {
    wanted = {...wanted, page: 1, ...changed};
    showFilter();
    const query = new URLSearchParams();
    if (wanted.q) query.set("q", wanted.q);
    if (wanted.status) query.set("status", wanted.status);
    history.replaceState(null, "", query.size ? `/?${query}` : "/");
    load();
}

// --- Suggestions ---

let typingTimer = 0;
let typed = 0;
let options = [];
let chosen = -1;

/** Up to six of {text, hint, href}. */
async function suggestionsFor(q) {
    const {suggestions} = await client.suggest(q);
    return suggestions.slice(0, SUGGESTIONS).map(({text, field, eventId}) => ({
        text,
        hint: field === "title" ? "" : t(`field_${field}`),
        href: field === "title" ? `/shop/events/${eventId}` : null, // of an artist or a place there may be several
    }));
}

async function suggest() {
    const number_ = ++typed;
    const q = search.value.trim();
    try {
        const found = q ? await suggestionsFor(q) : [];
        if (number_ === typed && document.activeElement === search) open(found);
    } catch {
        close(); // suggestions are a help, and the search works without
    }
}

function open(found) {
    options = found;
    chosen = -1;
    list.replaceChildren(
        ...found.map((one, index) =>
            h(
                "div",
                {
                    role: "option",
                    id: `suggestion-${index}`,
                    "aria-selected": "false",
                    onmousedown: (event) => event.preventDefault(),
                    onclick: () => take(index),
                },
                one.text,
                one.hint && h("small", {}, one.hint),
            ),
        ),
    );
    show(list, found.length > 0);
    search.setAttribute("aria-expanded", String(found.length > 0));
    search.removeAttribute("aria-activedescendant");
}

function close() {
    open([]);
}

function move(step) {
    if (!options.length) return;
    chosen = (chosen + step + options.length + (chosen < 0 && step < 0 ? 1 : 0)) % options.length;
    for (const [index, option] of [...list.children].entries())
        option.setAttribute("aria-selected", String(index === chosen));
    search.setAttribute("aria-activedescendant", `suggestion-${chosen}`);
}

function take(index) {
    const {href, text} = options[index];
    if (href) return location.assign(href);
    search.value = text;
    close();
    want({q: text});
}

search.addEventListener("input", () => {
    clearTimeout(typingTimer);
    typingTimer = setTimeout(() => {
        suggest();
        want({q: search.value.trim()});
    }, TYPING_MS);
});
search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Escape") close();
    else if (event.key === "Enter" && chosen >= 0) {
        event.preventDefault();
        take(chosen);
    }
});
search.addEventListener("blur", close);
$("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typingTimer);
    typed++;
    close();
    want({q: search.value.trim()});
});

// --- The rest ---

$("filters").addEventListener("change", (event) => want({status: event.target.value}));
$("clear").addEventListener("click", () => {
    search.value = "";
    want({q: "", status: "all"});
    search.focus();
});
$("more").addEventListener("click", () => {
    wanted.page++;
    load();
});

const given = new URLSearchParams(location.search);
wanted = {q: given.get("q") ?? "", status: given.get("status") ?? "", page: 1};
search.value = wanted.q;
showFilter();
load();
