"""What is recorded, by the statement that makes it happen, and only if somebody subscribes."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devtools.embedded import Servers
from queueing.services import admit_next, record_draw
from reservations.services import sweep
from seats.publishing import mark_dirty_events
from seats.services import update_statuses
from tests.support.admin_pages import AdminPages
from tests.support.harness import (
    HALL,
    INTERNAL,
    STANDING,
    STANDING_A,
    UPCOMING,
    Answer,
    Api,
    Database,
    new_user,
    seat,
    token,
    wait_until,
)
from tests.support.round_trips import Counted
from tests.support.subscribers import KINDS, subscribe


def test_a_reservation_of_seats_from_beginning_to_refund(world: Database, web: Api, told) -> None:
    user = new_user()
    reserved = web.reserve(user, HALL, seat(1, 1), seat(1, 2)).json["reservation"]
    web.confirm(reserved["id"], reserved["totalAmount"], "pay-1")
    web.refund(reserved["id"])

    messages = told()
    kinds = ["created", "confirmed", "cancelled", "refunded"]
    assert [kind for kind, _ in messages] == [f"reservation.{kind}" for kind in kinds]
    first, second, _, last = (data for _, data in messages)
    assert {name: first[name] for name in ("reservationId", "userId", "eventId", "totalAmount", "status")} == {
        "reservationId": reserved["id"],
        "userId": user,
        "eventId": HALL,
        "totalAmount": 300_000,
        "status": "pending",
    }
    items = [{"seatId": seat(1, n), "ticketTypeId": None, "quantity": 1, "unitPrice": 150_000} for n in (1, 2)]
    for data in (first, second, last):
        assert sorted(data["items"], key=lambda item: item["seatId"]) == items
    assert (second["status"], second["paymentStatus"], second["paymentId"]) == ("confirmed", "completed", "pay-1")
    assert (last["status"], last["paymentStatus"], last["reason"]) == ("cancelled", "refunded", "refunded")
    assert datetime.fromisoformat(first["deadline"]) > datetime.now(UTC)


def test_tickets_that_are_cancelled_unpaid_and_paid(world: Database, web: Api, told) -> None:
    user = new_user()
    unpaid = web.buy(user, STANDING, **{STANDING_A: 2}).json["reservation"]["id"]
    web.cancel(user, unpaid)
    assert [(kind, data["items"]) for kind, data in told()] == [
        (
            f"reservation.{kind}",
            [{"seatId": None, "ticketTypeId": STANDING_A, "quantity": 2, "unitPrice": 120_000}],
        )
        for kind in ("created", "cancelled")
    ]
    paid = web.buy(user, STANDING, **{STANDING_A: 1}).json["reservation"]["id"]
    web.confirm(paid, 120_000)
    web.cancel(user, paid)
    assert [kind for kind, _ in told()][1:] == [
        "reservation.confirmed",
        "reservation.cancelled",
        "reservation.refund_due",
    ]


def test_holds_that_expire_by_the_sweep_and_by_the_next_buyer(world: Database, web: Api, told) -> None:
    world.rows("UPDATE reservations SET status = 'cancelled' WHERE status = 'pending' AND deadline < now()")
    first = web.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"]
    world.expire(first)
    second = web.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"]
    world.expire(second)
    sweep()
    assert [(kind, data["reservationId"]) for kind, data in told() if kind.startswith("reservation")] == [
        ("reservation.created", first),
        ("reservation.expired", first),
        ("reservation.created", second),
        ("reservation.expired", second),
    ]


def test_a_cancelled_event_and_the_refund_of_its_reservations(world: Database, web: Api, told) -> None:
    event = world.add_event()
    (only,) = world.rows("SELECT id FROM seats WHERE event_id = %s", event)
    paid = web.reserve(new_user(), event, str(only["id"])).json["reservation"]["id"]
    web.confirm(paid, 1000)
    told()
    web.post(f"/internal/events/{event}/cancel", headers=INTERNAL)
    assert [(kind, data["status"]) for kind, data in told()] == [
        ("event.status_changed", "cancelled"),
        ("event.cancelled", "cancelled"),
        ("reservation.cancelled", "cancelled"),
        ("reservation.refund_due", "cancelled"),
    ]
    web.refund(paid)
    web.refund(paid)
    assert [(kind, data["reason"], data["paymentStatus"]) for kind, data in told()] == [
        ("reservation.refunded", "event_cancelled", "refunded")
    ]


def test_an_event_that_is_sold_out_and_on_sale_again(world: Database, web: Api, told) -> None:
    event = world.add_event()
    (only,) = world.rows("SELECT id FROM seats WHERE event_id = %s", event)
    user = new_user()
    reserved = web.reserve(user, event, str(only["id"])).json["reservation"]["id"]
    mark_dirty_events([uuid.UUID(event)])
    sweep()
    told_of = [(kind, data) for kind, data in told() if data["eventId"] == event and kind.startswith("event")]
    change = {"eventId": event, "status": "sold_out", "previousStatus": "on_sale"}
    assert told_of == [("event.status_changed", change), ("event.sold_out", change)]
    web.cancel(user, reserved)
    mark_dirty_events([uuid.UUID(event)])
    update_statuses()
    told_of = [(kind, data["status"]) for kind, data in told() if data["eventId"] == event and kind.startswith("event")]
    assert told_of == [("event.status_changed", "on_sale")]


def test_an_event_that_is_moved_by_its_page_or_by_another_writer(
    world: Database, web: Api, told, admin_pages: AdminPages
) -> None:
    admin_pages.change_event(UPCOMING, event_date=90 * 86_400, sale_start_date=86_400, sale_end_date=80 * 86_400)
    world.rows("UPDATE events SET venue = 'Elsewhere' WHERE id = %s", UPCOMING)
    world.rows("UPDATE events SET title = 'Another', venue = 'Elsewhere' WHERE id = %s", UPCOMING)
    moved = [data for kind, data in told() if kind == "event.moved"]
    assert [
        (data["venue"] != data["previousVenue"], data["eventDate"] != data["previousEventDate"]) for data in moved
    ] == [
        (False, True),
        (True, False),
    ]


def test_a_draw_that_was_held(world: Database, web: Api, told, redis) -> None:
    event = world.add_event()
    administrator = {"Authorization": f"Bearer {token(new_user(), role='admin')}"}

    def open_in(seconds: float) -> None:
        opens_at = f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"
        changed = web.post(f"/queue/admin/policy/{event}", {"opensAt": opens_at}, headers=administrator)
        assert changed.status == 200, changed.json

    open_in(600)
    for _ in range(3):
        assert web.post(f"/queue/check/{event}", user=new_user()).status == 200
    open_in(0.3)
    wait_until(lambda: admit_next() and record_draw(event_id=uuid.UUID(event)), seconds=10)
    record_draw(event_id=uuid.UUID(event))
    (message,) = told()
    assert message[0] == "queue.draw_held"
    assert (message[1]["eventId"], message[1]["participants"]) == (event, 3)


# --- Nobody subscribes ------------------------------------------------------------------------------------------------


ALL_KINDS = ["created", "changed", "confirmed", "refund_due", "changed", "refund_due", "refunded", "cancelled",
             "refund_due", "refunded", "created"]  # fmt: skip


def live(web: Api) -> None:
    """Everything that can be told of a reservation, but for one that expires."""
    user = new_user()
    reserved = web.reserve(user, HALL, seat(1, 1), seat(1, 2)).json["reservation"]["id"]
    swapped = web.post(f"/reservations/{reserved}/seats", {"seatIds": [seat(1, 1), seat(1, 3)]}, user=user)
    statuses = [
        swapped.status,
        web.confirm(reserved, 300_000).status,
        web.confirm(reserved, 300_000, new_user()).status,
    ]
    part = web.post(f"/reservations/{reserved}/cancel", {"items": [{"seatId": seat(1, 3)}]}, user=user)
    due = web.get("/internal/refunds", headers=INTERNAL).json["refunds"]
    own = [refund["id"] for refund in due if refund["reservationId"] == reserved and refund["items"]]
    settled = web.post(f"/internal/refunds/{own[0]}/done", headers=INTERNAL)
    statuses += [part.status, settled.status, web.cancel(user, reserved).status, web.refund(reserved).status]
    statuses.append(web.buy(user, STANDING, **{STANDING_A: 1}).status)
    assert statuses == [200, 200, 409, 200, 200, 200, 200, 201]


def test_nothing_is_written_while_nobody_subscribes(world: Database, web: Api) -> None:
    sequence = "SELECT last_value FROM outbox_messages_id_seq"
    before = world.one(sequence)
    live(web)
    # Not even a number was taken: the INSERT had no row.
    assert (world.one(sequence), world.one("SELECT count(*) FROM outbox_messages")) == (before, 0)
    subscribe(world, "event.moved", "queue.draw_held")
    live(web)
    assert (world.one(sequence), world.one("SELECT count(*) FROM outbox_messages")) == (before, 0)
    world.rows("UPDATE outbox_subscribers SET kinds = %s, is_active = false", KINDS)
    live(web)
    assert (world.one(sequence), world.one("SELECT count(*) FROM outbox_messages")) == (before, 0)
    world.rows("UPDATE outbox_subscribers SET is_active = true")  # the control
    live(web)
    kinds = [row["kind"] for row in world.rows("SELECT kind FROM outbox_messages ORDER BY id")]
    assert kinds == [f"reservation.{kind}" for kind in ALL_KINDS]


@pytest.mark.parametrize("subscribed", [False, True])
def test_recording_takes_no_round_trip(counted_web: Counted, world: Database, subscribed: bool) -> None:
    if subscribed:
        subscribe(world)
    # Of many, since statements are prepared, as in test_round_trips, and what is cached has to be read now and then.
    counted = [_round_trips(counted_web, n) for n in range(12)]
    assert {name: min(counts[name] for counts in counted) for name in counted[0]} == {
        "reserve": 1,
        "swap": 2,
        "confirm": 1,
        "refuse": 2,
        "cancel a part": 1,
        "settle": 1,
        "cancel": 1,
        "refund": 1,
        "buy": 1,
    }
    assert (world.one("SELECT count(*) FROM outbox_messages") > 0) is subscribed


def _round_trips(counted_web: Counted, n: int) -> dict[str, int]:
    """To PostgreSQL, of each operation on a reservation."""
    api, user, place = counted_web.api, new_user(), 1 + 2 * (n % 5)
    answers: dict[str, Answer] = {}
    counts: dict[str, int] = {}

    def count(name: str, call: Callable[[], Answer]) -> dict[str, Any]:
        counted_web.postgresql.reset()
        answers[name] = call()
        counts[name] = counted_web.postgresql.round_trips
        return answers[name].json

    own = count("reserve", lambda: api.reserve(user, HALL, seat(1, place)))["reservation"]["id"]
    count("swap", lambda: api.post(f"/reservations/{own}/seats", {"seatIds": [seat(1, place + 1)]}, user=user))
    count("confirm", lambda: api.confirm(own, 150_000))
    count("refuse", lambda: api.confirm(own, 150_000, new_user()))
    count("cancel", lambda: api.cancel(user, own))
    count("refund", lambda: api.refund(own))
    bought = count("buy", lambda: api.buy(user, STANDING, **{STANDING_A: 2}))["reservation"]["id"]
    assert api.confirm(bought, 240_000).status == 200
    part = {"items": [{"ticketTypeId": STANDING_A, "quantity": 1}]}
    count("cancel a part", lambda: api.post(f"/reservations/{bought}/cancel", part, user=user))
    due = api.get("/internal/refunds", headers=INTERNAL).json["refunds"]
    refund = next(refund["id"] for refund in due if refund["reservationId"] == bought)
    count("settle", lambda: api.post(f"/internal/refunds/{refund}/done", headers=INTERNAL))
    refused = {name for name, answer in answers.items() if answer.status >= 300}
    assert refused == {"refuse"}
    return counts


def test_a_statement_that_fails_records_nothing(world: Database, web: Api, redis_server: Servers) -> None:
    subscribe(world)
    user = new_user()
    web.reserve(user, HALL, seat(1, 1))
    assert web.reserve(new_user(), HALL, seat(1, 1)).status == 400
    assert web.buy(user, STANDING, **{STANDING_A: 1000}).status == 400
    assert world.one("SELECT count(*) FROM outbox_messages") == 1
