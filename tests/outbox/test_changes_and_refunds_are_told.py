"""What is told of seats that are swapped, parts that are cancelled, and of money: due, refused, late, and given back."""

from typing import Any

import pytest

from tests.support.harness import INTERNAL, Api, Database, new_user
from tests.support.limited_sale import limited_sale
from tests.support.one_sale import LargeSale, Sale, call_off, cancel, pay, refund, sweep
from tests.support.subscribers import Told

KINDS = pytest.mark.parametrize("kind", ["seat", "tickets"])


def about(told: Told, reservation: str) -> list[tuple[str, dict[str, Any]]]:
    """What is new of a reservation, without the prefix of the type."""
    return [(kind.split(".")[1], data) for kind, data in told() if data.get("reservationId") == reservation]


def cancel_part(sale: Sale, *places: str, quantity: int = 1) -> int:
    items = [
        {"seatId": place} if sale.kind == "seat" else {"ticketTypeId": place, "quantity": quantity} for place in places
    ]
    return sale.api.post(f"/reservations/{sale.id}/cancel", {"items": items}, user=sale.user).status


def settle(sale: Sale, refund_id: str) -> int:
    return sale.api.post(f"/internal/refunds/{refund_id}/done", headers=INTERNAL).status


def places_of(data: dict[str, Any]) -> set[tuple[str, int, int]]:
    return {(item["seatId"] or item["ticketTypeId"], item["quantity"], item["unitPrice"]) for item in data["items"]}


def state_of(data: dict[str, Any]) -> tuple[str, str, int]:
    return data["status"], data["paymentStatus"], data["totalAmount"]


def money_of(data: dict[str, Any]) -> tuple[str, int, str]:
    return tuple(data["refund"][name] for name in ("paymentId", "amount", "reason"))


def late(sale: Sale) -> Sale:
    """Its deadline was half a minute ago."""
    column = "expires_at" if sale.kind == "seat" else "held_until"
    sale.world.rows(f"UPDATE reservations SET {column} = now() - interval '30 s' WHERE id = %s", sale.id)
    return sale


def test_seats_that_are_swapped_and_dropped(world: Database, web: Api, told: Told) -> None:
    sale, user = limited_sale(world, seats=6), new_user()
    world.rows("UPDATE seats SET price = 1000 * seat_number WHERE event_id = %s", sale.event)
    own = web.reserve(user, sale.event, *sale.seats[:2]).json["reservation"]["id"]

    def change(*places: int) -> int:
        wanted = {"seatIds": [sale.seats[place] for place in places]}
        return web.post(f"/reservations/{own}/seats", wanted, user=user).status

    assert [kind for kind, _ in about(told, own)] == ["created"]
    world.rows("UPDATE seats SET price = 9000 WHERE id = %s", sale.seats[1])  # it keeps the price that it was taken for
    assert change(3, 1) == 200
    ((kind, data),) = about(told, own)
    assert (kind, state_of(data)) == ("changed", ("pending", "pending", 6000))
    assert places_of(data) == {(sale.seats[3], 1, 4000), (sale.seats[1], 1, 2000)}
    assert change(1, 3) == 200  # it has them already
    assert change(4, 5) == 200
    assert change(4) == 200
    assert [(kind, places_of(data)) for kind, data in about(told, own)] == [
        ("changed", {(sale.seats[4], 1, 5000), (sale.seats[5], 1, 6000)}),
        ("changed", {(sale.seats[4], 1, 5000)}),
    ]
    assert change(0) == 400  # released a moment ago
    assert about(told, own) == []


@KINDS
def test_a_part_that_is_cancelled_and_given_back(world: Database, web: Api, told: Told, kind: str) -> None:
    sale = LargeSale(web, world, kind).begin("paid")
    told()
    assert cancel_part(sale, sale.places[1]) == 200
    (first, changed), (second, due) = about(told, sale.id)
    assert (first, second) == ("changed", "refund_due")
    assert changed == due
    assert state_of(due) == ("confirmed", "completed", 2000)
    assert places_of(due) == {(sale.places[0], 1, 1000), (sale.places[2], 1, 1000)}
    assert money_of(due) == (f"of {sale.id}", 1000, "buyer")

    assert settle(sale, due["refund"]["id"]) == settle(sale, due["refund"]["id"]) == 200
    ((kind, done),) = about(told, sale.id)
    assert (kind, done) == ("refunded", due)

    assert cancel(sale) == 200
    (_, cancelled), (kind, rest) = about(told, sale.id)
    assert (kind, state_of(rest), money_of(rest)) == (
        "refund_due", ("cancelled", "refunded", 2000), (f"of {sale.id}", 2000, "buyer"),
    )  # fmt: skip
    assert cancelled == rest
    assert refund(sale) == refund(sale) == 200
    assert [(kind, data["refund"]) for kind, data in about(told, sale.id)] == [("refunded", rest["refund"])]


def test_some_tickets_of_a_type_that_are_cancelled(world: Database, web: Api, told: Told) -> None:
    sale = Sale(web, world, "tickets").begin("paid")
    told()
    assert cancel_part(sale, sale.place, quantity=2) == 200
    (_, changed), (_, due) = about(told, sale.id)
    assert places_of(changed) == places_of(due) == {(sale.place, 1, 1000)}
    assert due["refund"]["amount"] == 2000


@KINDS
def test_a_refund_of_everything_gives_back_what_was_due_before(
    world: Database, web: Api, told: Told, kind: str
) -> None:
    sale = LargeSale(web, world, kind).begin("paid")
    assert cancel_part(sale, sale.places[0]) == 200
    told()
    assert refund(sale) == 200
    found = about(told, sale.id)
    assert {(kind, state_of(data)) for kind, data in found} == {
        ("cancelled", ("cancelled", "refunded", 2000)),
        ("refunded", ("cancelled", "refunded", 2000)),
    }
    assert sorted(money_of(data)[1:] for kind, data in found if kind == "refunded") == [
        (1000, "buyer"),
        (2000, "payment_service"),
    ]


def test_a_reservation_that_is_held_back_gives_back_nothing(world: Database, web: Api, told: Told) -> None:
    sale = LargeSale(web, world, "seat").begin("paid")
    assert cancel_part(sale, sale.places[0]) == 200
    world.rows("UPDATE seats SET status = 'locked' WHERE id = %s", sale.places[1])  # by a writer who knows why
    told()
    assert refund(sale)[0] == 409
    assert about(told, sale.id) == []
    assert world.one("SELECT count(*) FROM refunds WHERE reservation_id = %s AND done_at IS NULL", sale.id) == 1


@KINDS
def test_an_event_that_was_cancelled_and_its_refund_that_is_settled(
    world: Database, web: Api, told: Told, kind: str
) -> None:
    sale = Sale(web, world, kind).begin("paid")
    told()
    assert call_off(sale) == 1
    (_, cancelled), (kind, due) = about(told, sale.id)
    assert (kind, state_of(due)[:2], due["reason"]) == ("refund_due", ("cancelled", "completed"), "event_cancelled")
    assert cancelled == due
    assert settle(sale, due["refund"]["id"]) == 200
    ((kind, done),) = about(told, sale.id)
    assert (kind, state_of(done)[:2], done["refund"]) == ("refunded", ("cancelled", "refunded"), due["refund"])


def test_nothing_is_due_of_what_was_free(world: Database, web: Api, told: Told) -> None:
    event, user = world.add_event(), new_user()
    world.rows("UPDATE seats SET price = 0 WHERE event_id = %s", event)
    place = world.one("SELECT id::text FROM seats WHERE event_id = %s", event)
    own = web.reserve(user, event, place).json["reservation"]["id"]
    assert web.confirm(own, 0).status == web.cancel(user, own).status == 200
    found = about(told, own)
    assert [kind for kind, _ in found] == ["created", "confirmed", "cancelled"]
    assert "refund" not in found[-1][1]


@KINDS
def test_a_late_payment_whose_places_are_free(world: Database, web: Api, told: Told, kind: str) -> None:
    sale = late(Sale(web, world, kind).begin("pending"))
    sweep(sale)
    assert pay(sale) == 200
    (_, created), (_, expired), (_, confirmed) = found = about(told, sale.id)
    assert [kind for kind, _ in found] == ["created", "expired", "confirmed"]
    assert state_of(confirmed) == ("confirmed", "completed", sale.amount)
    assert places_of(created) == places_of(expired) == places_of(confirmed)


@KINDS
def test_a_late_payment_whose_places_are_taken(world: Database, web: Api, told: Told, kind: str) -> None:
    sale = late(Sale(web, world, kind).begin("pending"))
    if kind == "seat":
        assert web.reserve(new_user(), sale.event, sale.place).status == 201
    else:
        assert web.buy(new_user(), sale.event, **{sale.place: 8}).status == 201
    assert pay(sale, "too late") == pay(sale, "too late") == (409, "RESERVATION_EXPIRED")
    found = about(told, sale.id)
    assert [kind for kind, _ in found] == ["created", "expired", "refund_due"]
    assert money_of(found[-1][1]) == ("too late", sale.amount, "late_payment")
    assert found[-1][1]["reason"] == "late_payment"
    assert settle(sale, found[-1][1]["refund"]["id"]) == 200
    ((kind, done),) = about(told, sale.id)
    assert (kind, state_of(done)[0], done["refund"]) == ("refunded", "expired", found[-1][1]["refund"])


def test_a_payment_that_is_refused_is_told_once_and_of_its_own_amount(world: Database, web: Api, told: Told) -> None:
    sale, other = (Sale(web, world, "seat").begin("pending") for _ in range(2))
    told()
    assert web.confirm(sale.id, 999, "less").status == web.confirm(sale.id, 999, "less").status == 409
    assert web.confirm(other.id, 999, "less").status == 409  # it is owed already
    assert pay(sale) == 200
    assert pay(sale, "twice")[0] == 409
    found = about(told, sale.id)
    assert [(kind, state_of(data)[0]) for kind, data in found] == [
        ("refund_due", "pending"),
        ("confirmed", "confirmed"),
        ("refund_due", "confirmed"),
    ]
    assert [money_of(data) for kind, data in found if kind == "refund_due"] == [
        ("less", 999, "payment_refused"),
        ("twice", 1000, "payment_refused"),
    ]
    assert about(told, other.id) == []


def test_what_is_told_adds_up_to_the_table(world: Database, web: Api, told: Told) -> None:
    """After all that: payments less sales are what is due and what was given back."""
    sale = LargeSale(web, world, "tickets").begin("paid")
    cancel_part(sale, sale.places[0])
    pay(sale, "again")
    cancel(sale)
    refund(sale)
    found = about(told, sale.id)
    due, done = (
        sum(data["refund"]["amount"] for kind, data in found if kind == wanted) for wanted in ("refund_due", "refunded")
    )
    (row,) = world.rows(
        "SELECT sum(amount)::int AS due, sum(amount) FILTER (WHERE done_at IS NOT NULL)::int AS done FROM refunds"
        " WHERE reservation_id = %s",
        sale.id,
    )
    assert (due, done) == (row["due"], row["done"]) == (6000, 3000)
