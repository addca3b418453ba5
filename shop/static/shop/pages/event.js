// One event: what it is, when its sale begins, what is left, and what may come back.

import {ApiError, NotSupported} from "../client/index.js";
import {poster} from "../poster.js";
import {
    $,
    client,
    clock,
    config,
    day,
    everySecondUntil,
    explain,
    h,
    moment,
    money,
    session,
    show,
    speak,
    stock,
    t,
    toast,
} from "../page.js";

const EARLY_SECONDS = 3600; // before the sale, from when on the waiting room is offered

const eventId = config.event;
const room = `/shop/events/${eventId}/queue`;
let event, ticketTypes, terms;
let availableSeats = null;

// --- What is known ---

function showFacts() {
    document.title = `${event.title} – ${t("shop")}`;
    $("poster").replaceChildren(poster(event));
    $("title").textContent = event.title;
    $("artist").textContent = event.artist_name ?? "";
    $("description").textContent = event.description ?? "";
    $("facts").replaceChildren(
        fact("when", moment(event.event_date)),
        fact("where", [event.venue, event.address && h("div", {class: "quiet"}, event.address)]),
        fact("sale_period", `${day(event.sale_start_date)} ${clock(event.sale_start_date)} – ${day(event.sale_end_date)}`),
    );
    $("event").setAttribute("aria-busy", "false");
}

const fact = (key, value) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, value));

function showTypes() {
    show($("ticket-types"), ticketTypes.length > 0);
    $("ticket-types")
        .querySelector("ul")
        .replaceChildren(
            ...ticketTypes.map((type) =>
                h(
                    "li",
                    {},
                    h("b", {}, type.name, " ", h("small", {}, type.description ?? "")),
                    h("small", {}, stock(type.available_quantity)),
                    h("span", {class: "price"}, money(type.price)),
                ),
            ),
        );
}

function showTerms() {
    if (!terms) return;
    const {limits, payment} = terms;
    show($("terms"))
        .querySelector("ul")
        .replaceChildren(
            h("li", {}, t("term_limit", {count: limits.maxTicketsPerBuyer})),
            h("li", {}, t("term_hold", {minutes: Math.round(limits.holdSeconds / 60)})),
            h("li", {}, t("term_cancel", {when: moment(payment.cancellableUntil)})),
        );
}

// --- What can be done ---

let shownCall = "";
let stopCountdown = () => {};

function showCall() {
    const state = isSoldOut() ? "sold_out" : event.status;
    const pill = $("state");
    pill.textContent = t(`status_${state}`);
    pill.className = `pill ${state}`;
    show(pill);
    if (shownCall === state) return;
    shownCall = state;
    stopCountdown();
    const calls = {
        on_sale: onSale,
        upcoming,
        sold_out: soldOut,
        ended: () => [panel("ended_title")],
        cancelled: () => [panel("cancelled_title", t("cancelled_body"))],
    };
    $("call").replaceChildren(...calls[state]());
}

const onSale = () => [h("a", {class: "button primary", href: room}, t("buy"))];
const panel = (title, ...lines) =>
    h(
        "div",
        {class: "panel"},
        h("p", {class: "big"}, t(title)),
        ...lines.map((line) => (line instanceof Node ? line : h("p", {}, line))),
    );

/** Nothing is left, whatever the status says: it may be a second late. */
function isSoldOut() {
    const hasTickets = ticketTypes.some((type) => type.available_quantity > 0);
    if (event.status === "sold_out") return !(availableSeats > 0 || hasTickets);
    const hasSeats = availableSeats === null ? Boolean(event.seat_layout_id) || !ticketTypes.length : availableSeats > 0; // null: not known yet
    return event.status === "on_sale" && !hasTickets && !hasSeats;
}

function upcoming() {
    const parts = ["days", "hours", "minutes", "seconds"].map((key) => h("span", {}, "00", h("small", {}, t(key))));
    const early = h("a", {class: "button", href: room}, t("enter_early"));
    stopCountdown = everySecondUntil(event.sale_start_date, (seconds) => {
        const whole = Math.max(0, Math.ceil(seconds));
        const values = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
        for (const [index, value] of values.entries()) parts[index].firstChild.data = String(value).padStart(2, "0");
        show(parts[0], values[0] > 0);
        show(early, whole <= EARLY_SECONDS);
        if (whole > 0) return true;
        event.status = "on_sale";
        speak(t("buy"));
        showCall();
        return false;
    });
    return [
        h(
            "div",
            {role: "timer", "aria-label": t("opens_in")},
            h("p", {class: "label"}, t("opens_in")),
            h("div", {class: "countdown"}, parts),
        ),
        early,
    ];
}

function soldOut() {
    const minutes = Math.ceil((terms?.limits.holdSeconds ?? 300) / 60);
    const until = moment(terms?.payment.cancellableUntil ?? event.event_date);
    const list = h("div", {});
    showWaitlist(list);
    return [
        panel("sold_out_title", t("sold_out_body", {minutes, until}), h("p", {class: "quiet"}, t("sold_out_watch")), list),
    ];
}

/** The waiting list, where the service has one. */
async function showWaitlist(place) {
    if (!terms?.waitlist?.isOpen) return;
    if (!(await session.ready)) return;
    const join = h("button", {type: "button", class: "primary"}, t("waitlist_join"));
    const leave = h("button", {type: "button"}, t("waitlist_leave"));
    const draw = (mine) => {
        const offer = mine?.offer;
        if (mine?.state === "offered" && offer)
            place.replaceChildren(
                h("p", {}, t("waitlist_offer", {when: clock(offer.expiresAt)})),
                h("a", {class: "button primary", href: `/shop/reservations/${offer.reservationId}`}, t("show")),
            );
        else if (mine?.state === "waiting") place.replaceChildren(h("p", {}, t("waitlist_joined")), leave);
        else place.replaceChildren(join);
    };
    const act = (call) => async () => {
        try {
            draw(await call());
        } catch (error) {
            toast(explain(error));
        }
    };
    join.addEventListener(
        "click",
        act(() => client.joinWaitlist(eventId, {quantity: 1, ticketTypeId: ticketTypes[0]?.id})),
    );
    leave.addEventListener(
        "click",
        act(async () => void (await client.leaveWaitlist(eventId))),
    );
    try {
        draw(await client.waitlist(eventId));
    } catch (error) {
        if (error instanceof NotSupported) return;
        draw(null);
    }
}

// --- As it changes ---

function follow() {
    const feed = client.seatMap(eventId);
    const seats = new Map();
    const count = () => {
        const before = availableSeats;
        availableSeats = [...seats.values()].filter((status) => status === "available").length;
        if (before === 0 && availableSeats > 0) toast(t("came_back"));
        showCall();
    };
    feed.on("snapshot", (snapshot) => {
        seats.clear();
        for (const seat of snapshot.seats) seats.set(seat.id, seat.status);
        count();
    });
    feed.on("changes", (changes) => {
        for (const change of changes) seats.set(change.seatId, change.status);
        count();
    });
    feed.on("stock", ({ticketTypeId, availableQuantity}) => {
        const type = ticketTypes.find((one) => one.id === ticketTypeId);
        if (!type) return;
        if (isSoldOut() && availableQuantity > 0) toast(t("came_back"));
        type.available_quantity = availableQuantity;
        showTypes();
        showCall();
    });
    feed.on("event", (found) => {
        ({event, ticketTypes} = found);
        showTypes();
        showCall();
    });
    feed.on("status", (status) => {
        event.status = status;
        showCall();
    });
    feed.start();
}

async function load() {
    try {
        [{event, ticketTypes}, terms] = await Promise.all([client.event(eventId), client.sale(eventId).catch(() => null)]);
    } catch (error) {
        const isMissing = error instanceof ApiError && error.status === 404;
        $("title").textContent = isMissing ? t("event_missing") : explain(error);
        $("call").replaceChildren(h("a", {class: "button", href: "/"}, t("all_events")));
        $("event").setAttribute("aria-busy", "false");
        return;
    }
    if (event.status === "upcoming" && Date.parse(event.sale_start_date) <= Date.now()) event.status = "on_sale"; // a status may be a second late
    showFacts();
    showTypes();
    showTerms();
    showCall();
    if (event.status === "on_sale" || event.status === "sold_out" || event.status === "upcoming") follow();
}

load();
