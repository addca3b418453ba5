// Everything that this buyer has reserved, newest first.

import {$, client, explain, h, money, moment, session, show, signInPanel, t, toast} from "../page.js";

const PAGE_SIZE = 20;
let page = 1;

function stub({
    id,
    event_title: title,
    event_date: date,
    venue,
    status,
    total_amount: amount,
    reservation_number: number,
    items,
}) {
    const what = items
        .map(({ticketTypeName, quantity}) => `${ticketTypeName ?? ""}${quantity > 1 ? ` × ${quantity}` : ""}`)
        .join(", ");
    return h(
        "li",
        {class: "stub"},
        h(
            "div",
            {class: "body"},
            h("h2", {}, h("a", {href: `/shop/reservations/${id}`}, title ?? number)),
            h("p", {}, date && moment(date)),
            h("p", {class: "quiet"}, venue),
            h("p", {}, what),
        ),
        h("div", {class: "tear"}, h("p", {class: `pill ${status}`}, t(`state_${status}`)), h("strong", {}, money(amount))),
    );
}

async function load() {
    try {
        const {reservations, pagination} = await client.myReservations({page, limit: PAGE_SIZE});
        $("reservations").append(...reservations.map(stub));
        show($("more"), page < pagination.totalPages);
        const nothing = h(
            "div",
            {class: "empty"},
            h("p", {class: "big"}, t("no_reservations")),
            h("p", {}, h("a", {class: "button", href: "/"}, t("all_events"))),
        );
        if (pagination.total === 0) $("message").replaceChildren(nothing);
    } catch (error) {
        toast(explain(error));
    }
    $("reservations").setAttribute("aria-busy", "false");
}

$("more").addEventListener("click", () => {
    page++;
    load();
});

async function begin() {
    if (await session.ready) return load();
    $("message").replaceChildren(signInPanel());
    $("reservations").setAttribute("aria-busy", "false");
}

begin();
