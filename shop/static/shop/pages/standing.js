// Tickets that name no seat: how many of which, with the stock as it changes.

import {newKey} from "../client/index.js";
import {elsewhere, followAdmission, leadsElsewhere, toReservation} from "../buying.js";
import {$, client, config, explain, h, money, session, show, signInPanel, speak, stock, t} from "../page.js";

const eventId = config.event;
const rows = new Map(); // by ticket type: {type, count, row}
let most = 10;
let key = newKey(); // of this attempt: asked twice, it is reserved once

function row(type) {
    const less = h("button", {type: "button", "aria-label": t("fewer", {name: type.name})}, "−");
    const more = h("button", {type: "button", "aria-label": t("one_more", {name: type.name})}, "+");
    const count = h("output", {"aria-label": t("quantity", {name: type.name})}, "0");
    const left = h("span", {class: "quiet"});
    const entry = {type, count: 0, element: null, draw: null};
    less.addEventListener("click", () => change(entry, -1));
    more.addEventListener("click", () => change(entry, 1));
    entry.element = h(
        "li",
        {},
        h(
            "div",
            {class: "what"},
            h("b", {}, type.name),
            type.description && h("div", {class: "quiet"}, type.description),
            h("span", {class: "price"}, money(type.price)),
            " ",
            left,
        ),
        h("div", {class: "stepper", role: "group", "aria-label": type.name}, less, count, more),
    );
    entry.draw = () => {
        const {available_quantity: available} = entry.type;
        count.textContent = entry.count;
        less.disabled = entry.count === 0;
        more.disabled = entry.count >= available || chosen() >= most;
        left.textContent = stock(available);
    };
    rows.set(type.id, entry);
    return entry.element;
}

const chosen = () => [...rows.values()].reduce((sum, {count}) => sum + count, 0);

function change(entry, step) {
    entry.count = Math.max(0, entry.count + step);
    key = newKey();
    draw();
    speak(`${entry.type.name}: ${entry.count}. ${t("total")}: ${$("total").textContent}`);
}

function draw() {
    for (const entry of rows.values()) {
        entry.count = Math.min(entry.count, entry.type.available_quantity);
        entry.draw();
    }
    const total = [...rows.values()].reduce((sum, {type, count}) => sum + type.price * count, 0);
    $("total").textContent = chosen() ? money(total) : "–";
    $("hold").disabled = chosen() === 0;
}

$("hold").addEventListener("click", async () => {
    const items = [...rows.values()]
        .filter(({count}) => count > 0)
        .map(({type, count}) => ({ticketTypeId: type.id, quantity: count}));
    $("hold").disabled = true;
    $("hold").textContent = t("holding");
    show($("conflict"), false);
    try {
        toReservation(await client.reserveTickets({eventId, items}, {idempotencyKey: key}));
        return;
    } catch (error) {
        key = newKey();
        if (leadsElsewhere(error, eventId)) return;
        $("conflict").textContent = explain(error);
        show($("conflict"));
    }
    $("hold").textContent = t("hold_tickets");
    draw();
});

async function begin() {
    if (!(await session.ready)) return $("main").replaceChildren(signInPanel());
    const [{event, ticketTypes}, terms] = await Promise.all([client.event(eventId), client.sale(eventId)]);
    $("event-name").textContent = event.title;
    if (event.seat_layout_id)
        $("event-name").append(" · ", h("a", {href: `/shop/events/${eventId}/seats`}, t("choose_seats")));
    if (!ticketTypes.length) return elsewhere(eventId, t("found_none"));
    most = terms.limits.maxTicketsPerBuyer;
    $("types").replaceChildren(...ticketTypes.map(row));
    $("types").setAttribute("aria-busy", "false");
    draw();
    followAdmission(eventId);
    const feed = client.seatMap(eventId, {withEvent: false});
    feed.on("stock", ({ticketTypeId, availableQuantity}) => {
        const entry = rows.get(ticketTypeId);
        if (!entry) return;
        entry.type.available_quantity = availableQuantity;
        draw();
    });
    feed.start();
}

begin().catch((error) => elsewhere(eventId, explain(error)));
