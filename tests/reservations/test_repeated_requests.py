"""A repeated request with its Idempotency-Key gets its first response, whatever was changed in between."""

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.support.harness import Answer, Api, Database, new_user
from tests.support.limited_sale import let_time_pass

SMALL_HALL = "1a400000-0000-4000-8000-000000000001"
NAMED = {"Idempotency-Key": "the same"}


class Purchase:
    """Of the only seat, or of three tickets, of an event of its own; repeated as it was."""

    def __init__(self, web: Api, world: Database, kind: str) -> None:
        self.web, self.world, self.kind, self.buyer = web, world, kind, new_user()
        self.event = world.add_event()
        self.seat = world.one("SELECT id::text FROM seats WHERE event_id = %s", self.event)
        self.ticket_type = world.one(
            "INSERT INTO ticket_types (event_id, name, price, total_quantity, available_quantity)"
            " VALUES (%s, 'T', 1000, 3, 3) RETURNING id::text",
            self.event,
        )

    def make(self) -> Answer:
        if self.kind == "seat":
            return self.web.reserve(self.buyer, self.event, self.seat, headers=NAMED)
        return self.web.buy(self.buyer, self.event, headers=NAMED, **{self.ticket_type: 3})

    def cancel(self, answer: Answer) -> None:
        assert self.web.cancel(self.buyer, answer.json["reservation"]["id"]).status == 200


def change_layout(purchase: Purchase) -> None:
    from reservations.services import change_layout

    change_layout(event_id=UUID(purchase.event), layout_id=UUID(SMALL_HALL))


def rename_and_reprice(purchase: Purchase) -> None:
    purchase.world.rows("UPDATE seats SET seat_label = 'new', price = 7 WHERE event_id = %s", purchase.event)
    purchase.world.rows("UPDATE ticket_types SET name = 'new', price = 7 WHERE event_id = %s", purchase.event)


def postpone(purchase: Purchase) -> None:
    purchase.world.rows("UPDATE events SET sale_start_date = now() + interval '1 d', status = 'upcoming',"
                        " sale_end_date = now() + interval '2 d' WHERE id = %s", purchase.event)  # fmt: skip


def call_off(purchase: Purchase) -> None:
    from reservations.services import cancel_event

    cancel_event(event_id=UUID(purchase.event))


def delete_event(purchase: Purchase) -> None:
    purchase.world.rows("UPDATE reservation_items SET seat_id = NULL, ticket_type_id = NULL WHERE reservation_id IN"
                        " (SELECT id FROM reservations WHERE event_id = %s)", purchase.event)  # fmt: skip
    purchase.world.rows("UPDATE reservations SET event_id = NULL WHERE event_id = %s", purchase.event)
    for table, column in (("seats", "event_id"), ("ticket_types", "event_id"), ("events", "id")):
        purchase.world.rows(f"DELETE FROM {table} WHERE {column} = %s", purchase.event)


def move_deadline(purchase: Purchase) -> None:
    purchase.world.rows("UPDATE reservations SET expires_at = expires_at - interval '1 d' WHERE event_id = %s",
                        purchase.event)  # fmt: skip


CHANGES = [change_layout, rename_and_reprice, postpone, call_off, delete_event, move_deadline]


@pytest.mark.parametrize("kind", ["seat", "tickets"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_reserved_is_answered_again(
    web: Api, catalogue: Database, kind: str, change: Callable[[Purchase], None]
) -> None:
    purchase = Purchase(web, catalogue, kind)
    first = purchase.make()
    assert first.status == 201
    purchase.cancel(first)
    change(purchase)
    again = purchase.make()
    assert (again.status, again.json) == (first.status, first.json)
    assert catalogue.one("SELECT count(*) FROM reservations WHERE user_id = %s", purchase.buyer) == 1


def test_a_lower_limit_does_not_count_for_what_was_reserved_before(web: Api, catalogue: Database) -> None:
    purchase = Purchase(web, catalogue, "seat")
    catalogue.rows("INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
                   " SELECT %s, 'S', 1, n, 'S-1-' || n, 1000 FROM generate_series(1, 5) n", purchase.event)  # fmt: skip
    wanted = [row["id"] for row in catalogue.rows(
        "SELECT id::text FROM seats WHERE event_id = %s AND section = 'S' ORDER BY id DESC", purchase.event
    )]  # fmt: skip

    def limit(most: int | None) -> None:
        catalogue.rows("UPDATE events SET max_seats_per_reservation = %s WHERE id = %s", most, purchase.event)

    def make(key: str) -> Answer:
        return web.reserve(purchase.buyer, purchase.event, *wanted, headers={"Idempotency-Key": key})

    limit(5)
    first = make("a")
    assert first.status == 201
    purchase.cancel(first)
    for lower in (None, 2):  # than a request may have without a question, and within the statement
        limit(lower)
        assert make("a").json == first.json
    rejected = make("b")
    assert (rejected.status, rejected.json) == (400, {"error": "최대 2석까지 선택 가능합니다."})
    limit(5)
    again = make("b")
    assert (again.status, again.json) == (rejected.status, rejected.json)
    let_time_pass(catalogue, purchase.buyer, 600)  # until the seats are open to this buyer again
    assert make("c").status == 201


@pytest.mark.parametrize("kind", ["seat", "tickets"])
def test_what_was_rejected_stays_so(web: Api, catalogue: Database, kind: str) -> None:
    purchase = Purchase(web, catalogue, kind)
    postpone(purchase)
    first = purchase.make()
    assert first.status == 400
    catalogue.rows("UPDATE events SET sale_start_date = now() WHERE id = %s", purchase.event)
    again = purchase.make()
    assert (again.status, again.json) == (first.status, first.json)


def test_the_response_to_a_request_of_before_the_migration_is_filled_in(web: Api, catalogue: Database) -> None:
    from importlib import import_module

    for kind in ("seat", "tickets"):
        purchase = Purchase(web, catalogue, kind)
        first = purchase.make()
        catalogue.rows("UPDATE idempotency_keys SET response = NULL WHERE user_id = %s", purchase.buyer)
        catalogue.rows(import_module("reservations.migrations.0004_responses_are_kept").RESPONSES)
        assert purchase.make().json == first.json


def test_keys_are_purged_after_a_day(web: Api, catalogue: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from reservations.services import purging
    from reservations.tasks import purge_idempotency_keys
    from ticketservice.celery import app

    monkeypatch.setattr(purging, "BATCH", 2)
    catalogue.rows("DELETE FROM idempotency_keys")
    catalogue.rows(
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, created_at)"
        " SELECT gen_random_uuid(), 'k', 'f', now() - n * interval '6 h' FROM generate_series(0, 8) n"
    )
    assert purge_idempotency_keys() == 5
    assert catalogue.one("SELECT count(*) FROM idempotency_keys WHERE created_at <= now() - interval '1 d'") == 0
    assert catalogue.one("SELECT count(*) FROM idempotency_keys") == 4
    assert purge_idempotency_keys() == 0
    assert any(entry["task"] == purge_idempotency_keys.name for entry in app.conf.beat_schedule.values())
