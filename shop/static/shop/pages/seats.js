// Choosing seats on a map that changes while one looks. `<seat-map>` (static/seats) draws it; here is what a shop does with it.

import {ApiError, SeatConflict, newKey} from "../client/index.js";
import {elsewhere, followAdmission, leadsElsewhere, toReservation} from "../buying.js";
import {$, client, config, explain, h, money, session, show, signInPanel, t, toast} from "../page.js";
import "../../seats/seat-map.js";

const eventId = config.event;
const chosenKey = `shop-chosen:${eventId}`;
const map = h("seat-map", {});
const feed = client.seatMap(eventId, {withEvent: false});
let most = 4;
let key = newKey(); // of this attempt: asked twice, it is reserved once

// --- The map ---

feed.on("snapshot", (snapshot) => {
    const isFirst = !map.isLoaded;
    map.load(snapshot);
    if (isFirst) {
        map.select(JSON.parse(sessionStorage.getItem(chosenKey) ?? "[]")); // of before a reload
        $("map").setAttribute("aria-busy", "false");
    }
});
feed.on("changes", (changes) => map.change(changes));
feed.on("connection", (connection) => {
    if (connection === "lost") toast(t("lost"));
});
feed.on("error", (error) => {
    if (error instanceof ApiError && error.status === 404) elsewhere(eventId, t("no_seats"));
});

map.addEventListener("seatselect", ({detail}) => showChoice(detail.seats, detail.total));
map.addEventListener("seatlimit", ({detail}) => toast(t("too_many", {count: detail.limit})));
map.addEventListener("seatconflict", ({detail}) => showConflict(detail));

// --- The choice ---

function showChoice(chosen, total) {
    key = newKey();
    sessionStorage.setItem(chosenKey, JSON.stringify(chosen.map(({id}) => id)));
    $("chosen").replaceChildren(
        ...(chosen.length ? chosen.map(chosenSeat) : [h("li", {class: "hint"}, t("choice_empty", {count: most}))]),
    );
    $("total").textContent = chosen.length ? money(total) : "–";
    $("hold").disabled = chosen.length === 0;
}

function chosenSeat(seat) {
    const remove = () => map.select(map.selection.map(({id}) => id).filter((id) => id !== seat.id));
    return h(
        "li",
        {},
        h("b", {}, seat.label),
        h("span", {}, money(seat.price)),
        h("button", {type: "button", "aria-label": t("remove_seat", {seat: seat.label}), onclick: remove}, "×"),
    );
}

const labels = (group) => group.map(({label}) => label).join(", ");

/** Somebody was faster. What is near is offered, and one click takes it. */
function showConflict({lost, alternatives}) {
    const offers = alternatives
        .slice(0, 2)
        .map((group) =>
            h("button", {type: "button", onclick: () => take(group)}, t("take_neighbours", {seats: labels(group)})),
        );
    $("conflict").replaceChildren(
        h("span", {}, t("taken", {seat: labels(lost)})),
        ...(offers.length ? [h("div", {class: "row"}, offers)] : []),
    );
    show($("conflict"));
}

function take(group) {
    map.select([...map.selection, ...group].map(({id}) => id));
    map.showSeat(group[0].id);
    show($("conflict"), false);
    $("hold").focus();
}

// --- Holding ---

$("hold").addEventListener("click", async () => {
    const chosen = map.selection;
    const ids = chosen.map(({id}) => id);
    $("hold").disabled = true;
    $("hold").textContent = t("holding");
    show($("conflict"), false);
    map.hold(ids); // so that the changes that it causes are no conflict
    try {
        const reserved = await client.reserveSeats({eventId, seatIds: ids}, {idempotencyKey: key});
        sessionStorage.removeItem(chosenKey);
        return toReservation(reserved);
    } catch (error) {
        if (leadsElsewhere(error, eventId)) return;
        map.hold([]);
        map.select(ids); // with another key
        if (error instanceof SeatConflict && error.code !== "SEAT_RECENTLY_RELEASED")
            map.refuse(error.label ? [error.label] : ids);
        else refused(error);
    }
    $("hold").textContent = t("hold_seats");
    $("hold").disabled = map.selection.length === 0;
});

function refused(error) {
    // Where no single seat may be left over, the service names a choice that works.
    const offer = error.body?.details?.suggestedSeats ?? [];
    const group = offer.map(({id, seat_label: label}) => ({id, label}));
    const takeIt = () => {
        map.select(group.map(({id}) => id));
        show($("conflict"), false);
    };
    const button = h("button", {type: "button", onclick: takeIt}, t("take_neighbours", {seats: labels(group)}));
    $("conflict").replaceChildren(h("span", {}, explain(error)), ...(group.length ? [button] : []));
    show($("conflict"));
}

// --- The best seats for a number of people ---

$("best").addEventListener("submit", async (event) => {
    event.preventDefault();
    const quantity = Number($("people").value);
    try {
        return toReservation(await client.reserveBestSeats({eventId, quantity}));
    } catch (error) {
        if (!leadsElsewhere(error, eventId)) refused(error);
    }
});

// --- Begin ---

async function begin() {
    if (!(await session.ready)) return $("main").replaceChildren(signInPanel());
    client.event(eventId).then(({event, ticketTypes}) => {
        $("event-name").textContent = event.title;
        if (ticketTypes.length)
            $("event-name").append(" · ", h("a", {href: `/shop/events/${eventId}/tickets`}, t("without_seat")));
    });
    const terms = await client.sale(eventId);
    most = Math.min(terms.limits.maxSeatsPerReservation, terms.limits.maxTicketsPerBuyer);
    map.limit = most;
    $("people").replaceChildren(
        ...Array.from({length: most}, (_, index) =>
            h("option", {value: index + 1, selected: index === Math.min(1, most - 1)}, index + 1),
        ),
    );
    $("map").append(map);
    showChoice([], 0);
    feed.start();
    followAdmission(eventId);
}

window.addEventListener("pagehide", () => feed.stop());
begin().catch((error) => elsewhere(eventId, explain(error)));
