"""`manage.py audit` finds what must never be, names the rows, and finds nothing while a sale goes on."""

import io
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.support.harness import (
    HALL,
    MANY_TYPES,
    STADIUM,
    STANDING,
    STANDING_A,
    THEATRE,
    UPCOMING,
    Api,
    Database,
    at_once,
    manage,
    new_user,
    seat,
)  # fmt: skip

pytestmark = pytest.mark.slow

CANCELLED = "e0e00000-0000-4000-8000-000000000006"
TICKETS_OF_UPCOMING = "71c00000-0000-4000-8000-000000000006"
TICKETS_OF_CANCELLED = "71c00000-0000-4000-8000-000000000009"
Audit = Callable[..., tuple[int, dict[str, list[dict[str, Any]]]]]


def reservation(number: int) -> str:
    return f"4e5a0000-0000-4000-8000-{number:012x}"


def item(number: int) -> str:
    return f"41a00000-0000-4000-8000-{number:012x}"


@pytest.fixture
def clean(world: Database) -> Database:
    world.settle()
    return world


@pytest.fixture
def audit(clean: Database) -> Audit:
    """The command in this process: its exit code, and the rows by check."""

    def run(*options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
        said, code = io.StringIO(), 0
        try:
            call_command("audit", "--json", *options, stdout=said)
        except CommandError as error:
            code = error.returncode
        outcomes = json.loads(said.getvalue())["outcomes"]
        assert all(outcome["count"] == len(outcome["rows"]) for outcome in outcomes)
        return code, {outcome["check"]: outcome["rows"] for outcome in outcomes if outcome["rows"]}

    return run


@pytest.fixture
def no_walls(clean: Database) -> Iterator[Database]:
    """A database that has lost its constraints, and a session that no trigger stops."""
    tables = "('events', 'ticket_types', 'seats', 'reservations', 'reservation_items', 'refunds')"
    constraints = clean.rows(
        "SELECT conrelid::regclass::text AS relation, conname AS name, pg_get_constraintdef(oid) AS definition"
        f" FROM pg_constraint WHERE conrelid::regclass::text IN {tables} AND contype IN ('c', 'u')"
    )
    partial = clean.rows(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index"
        f" WHERE indrelid::regclass::text IN {tables} AND indisunique AND indpred IS NOT NULL"
    )
    assert len(constraints) > 15
    assert len(partial) == 3
    for wall in constraints:
        clean.rows(f"ALTER TABLE {wall['relation']} DROP CONSTRAINT {wall['name']}")
    for wall in partial:
        clean.rows(f"DROP INDEX {wall['name']}")
    with clean.without_triggers():
        yield clean
    clean.load_world()
    for wall in constraints:
        clean.rows(f"ALTER TABLE {wall['relation']} ADD CONSTRAINT {wall['name']} {wall['definition']}")
    for wall in partial:
        clean.rows(wall["definition"])


def reserve(
    database: Database, number: int, event: str, status: str, payment: str, amount: int = 100, **columns: Any
) -> None:
    given: dict[str, Any] = {
        "id": reservation(number), "user_id": new_user(), "event_id": event, "reservation_number": f"TKA{number}",
        "total_amount": amount, "status": status, "payment_status": payment, "expires_at": "2035-01-01Z", **columns,
    }  # fmt: skip
    values = ", ".join(["%s"] * len(given))
    database.rows(f"INSERT INTO reservations ({', '.join(given)}) VALUES ({values})", *given.values())


def put_in(database: Database, number: int, reserved: int, **columns: Any) -> None:
    given = {
        "id": item(number), "reservation_id": reservation(reserved), "quantity": 1, "unit_price": 100, "subtotal": 100,
        "is_live": False, **columns,
    }  # fmt: skip
    values = ", ".join(["%s"] * len(given))
    database.rows(f"INSERT INTO reservation_items ({', '.join(given)}) VALUES ({values})", *given.values())


def plant(database: Database) -> dict[str, set[str]]:
    """Breaks every rule, each with rows of its own. By check, what its rows name."""
    set_seat = "UPDATE seats SET status = %s WHERE id = %s"

    for number in (1, 2):  # two have paid for one seat
        reserve(database, number, THEATRE, "confirmed", "completed")
        put_in(database, number, number, seat_id=seat(7, 1), is_live=True)
    database.rows(set_seat, "sold", seat(7, 1))

    database.rows(set_seat, "sold", seat(15, 1))  # nobody's

    reserve(database, 3, UPCOMING, "confirmed", "completed")
    put_in(database, 3, 3, seat_id=seat(3, 1), is_live=True)
    database.rows(set_seat, "locked", seat(3, 1))

    reserve(database, 4, CANCELLED, "cancelled", "refunded")
    put_in(database, 4, 4, seat_id=seat(6, 1), is_live=True)

    reserve(database, 5, STANDING, "pending", "pending")
    put_in(database, 5, 5, seat_id=seat(3, 2), is_live=True)
    database.rows(set_seat, "locked", seat(3, 2))

    database.rows("UPDATE seats SET seat_number = seat_number - 1 WHERE id = %s", seat(3, 5))

    stock = "UPDATE ticket_types SET available_quantity = available_quantity + %s WHERE id = %s"
    database.rows(stock, -1, TICKETS_OF_UPCOMING)
    database.rows(stock, 1, TICKETS_OF_CANCELLED)

    reserve(database, 6, UPCOMING, "cancelled", "refunded", amount=300)
    put_in(database, 6, 6, quantity=2)
    put_in(database, 7, 6, quantity=-2, unit_price=-100, subtotal=200)
    reserve(database, 7, UPCOMING, "cancelled", "refunded", amount=101)
    put_in(database, 8, 7)

    reserve(database, 8, UPCOMING, "pending", "completed", amount=0)
    reserve(database, 9, UPCOMING, "confirmed", "failed", amount=0)
    reserve(database, 10, UPCOMING, "expired", "completed", amount=0)

    reserve(database, 11, UPCOMING, "cancelled", "refunded", amount=0, payment_id="pay-1")
    reserve(database, 12, HALL, "cancelled", "refunded", amount=0, payment_id="pay-1")

    reserve(database, 13, UPCOMING, "cancelled", "refunded", amount=0, reservation_number="TKX")
    reserve(database, 14, HALL, "expired", "failed", amount=0, reservation_number="TKX")

    reserve(database, 15, UPCOMING, "pending", "pending", amount=0, expires_at=None)

    due = {"refund_due_at": "2026-01-01Z", "amount": 0}
    reserve(database, 16, UPCOMING, "cancelled", "completed", **due)
    reserve(database, 17, CANCELLED, "cancelled", "refunded", **due)
    reserve(database, 18, CANCELLED, "cancelled", "completed", **due)  # this one is right

    paid = (
        "INSERT INTO payments (payment_id, reservation_id, amount, rejection, is_first) VALUES (%s, %s, %s, %s, true)"
    )
    owed = "INSERT INTO refunds (reservation_id, payment_id, amount, reason) VALUES (%s, %s, %s, %s)"
    reserve(database, 21, UPCOMING, "cancelled", "refunded", amount=0, payment_id="pay-21")
    database.rows(paid, "pay-21", reservation(21), 300, None)
    database.rows(owed, reservation(21), "pay-21", 200, "buyer")  # a hundred is lost
    reserve(database, 22, HALL, "expired", "failed", amount=0)
    database.rows(paid, "pay-22", reservation(22), 300, '{"code": "RESERVATION_EXPIRED"}')
    reserve(database, 23, HALL, "cancelled", "refunded", amount=0, payment_id="pay-23")  # this one is right
    database.rows(paid, "pay-23", reservation(23), 300, None)
    database.rows(owed, reservation(23), "pay-23", 100, "buyer")
    database.rows(owed, reservation(23), "pay-23", 200, "odd")  # but for its reason

    reserve(database, 19, UPCOMING, "paid", "refunded", amount=0)
    reserve(database, 20, UPCOMING, "cancelled", "odd", amount=0)
    database.rows("UPDATE events SET status = 'open' WHERE id = %s", MANY_TYPES)

    return {
        "seat_in_two_live_reservations": {seat(7, 1)},
        "seats_do_not_add_up": {THEATRE, STADIUM},
        "seat_without_reservation": {seat(15, 1)},
        "seat_status_differs": {seat(3, 1)},
        "item_is_live_differs": {item(4)},
        "item_of_another_event": {item(5)},
        "seat_twice": {seat(3, 4)},
        "stock_differs": {TICKETS_OF_UPCOMING, TICKETS_OF_CANCELLED},
        "stock_out_of_range": {TICKETS_OF_CANCELLED},
        "subtotal_differs": {item(6), item(7)},
        "amount_differs": {reservation(7)},
        "payment_status_differs": {reservation(8), reservation(9), reservation(10)},
        "payment_used_twice": {reservation(11), reservation(12)},
        "number_used_twice": {reservation(13), reservation(14)},
        "pending_without_deadline": {reservation(15)},
        "refund_due_wrongly": {reservation(16), reservation(17)},
        "refunds_differ": {reservation(21), reservation(22)},
        "status_unknown": {
            MANY_TYPES,
            reservation(19),
            reservation(20),
            database.one("SELECT id::text FROM refunds WHERE reason = 'odd'"),
        },
    }


def plant_in_line(redis) -> dict[str, set[str]]:
    """Breaks every rule of the waiting room, each with somebody of its own."""
    now = time.time() * 1_000_000
    redis.sadd("queue:counted", STANDING)
    crowd = {new_user(): now - 3_000_000 + place for place in range(2500)}
    redis.zadd(f"queue:{STANDING}", crowd)
    redis.zadd(f"queue:seen:{STANDING}", crowd)
    who = {
        name: new_user()
        for name in ("both", "unseen", "lost", "endless", "gone", "silent", "ghost", "twice", "kept", "early", "late")
    }

    def stands(name: str, **moments: float) -> None:
        for key, moment in moments.items():
            name_of_key = key.replace("_", ":")
            if key == "active":
                redis.sadd(f"active:{STANDING}", who[name])
            elif key == "queue_grace":
                redis.hset(f"queue:grace:{STANDING}", who[name], int(moment))
            else:
                redis.zadd(f"{name_of_key}:{STANDING}", {who[name]: moment})

    stands("both", queue=now, queue_seen=now, active=now, active_until=now, active_seen=now)
    stands("unseen", queue=now)
    stands("lost", queue_seen=now)
    stands("endless", active=now, active_seen=now)
    stands("gone", active_until=now)
    stands("silent", active=now, active_until=now)
    stands("ghost", active_seen=now)
    stands("twice", queue=now, queue_seen=now, queue_grace=now, queue_grace_until=now)
    stands("kept", queue_grace=now)
    stands("early", queue=12345, queue_seen=12345)  # a lot, but no moment
    stands("late", active=now, active_until=now * 2, active_seen=now)
    return {
        "waiting_and_active": {who["both"]},
        "waiting_without_seen": {who["unseen"]},
        "seen_without_waiting": {who["lost"]},
        "active_without_end": {who["endless"]},
        "end_without_active": {who["gone"]},
        "active_without_seen": {who["silent"]},
        "seen_without_active": {who["ghost"]},
        "waiting_and_in_grace": {who["twice"]},
        "grace_incomplete": {who["kept"]},
        "impossible_moment": {who["early"], who["late"]},
    }


def test_every_planted_violation_is_found_with_its_rows(no_walls: Database, audit: Audit, redis) -> None:
    planted = {**plant(no_walls), **plant_in_line(redis)}

    code, found = audit()

    assert code == 1
    named = {check: {next(name for name in names if name in json.dumps(row)) for row in found.get(check, [])}
             for check, names in planted.items()}  # fmt: skip
    assert named == planted
    assert {check: len(rows) for check, rows in found.items()} == {
        check: len(names) for check, names in planted.items()
    }
    two = found["seat_in_two_live_reservations"][0]
    assert [owner["id"] for owner in two["reservations"]] == [reservation(1), reservation(2)]

    code, of_one = audit("--event", UPCOMING)
    assert code == 1
    in_upcoming = {check: [row for row in rows if row["event_id"] == UPCOMING] for check, rows in found.items()}
    assert of_one == {check: rows for check, rows in in_upcoming.items() if rows}
    assert len(of_one) > 8

    # The task tells the same, to whoever watches the metrics.
    from prometheus_client import REGISTRY

    from reservations.tasks import audit as task

    assert task() == {check: len(names) for check, names in planted.items()}
    assert REGISTRY.get_sample_value("invariant_violations", {"check": "payment_status_differs"}) == 3

    said = manage("audit", DATABASE_URL=no_walls.url)
    assert said.returncode == 1
    for check, names in planted.items():
        assert f"\n{check}: {len(names)} violations of: " in said.stdout
        assert all(name in said.stdout for name in names)

    redis.flushall()
    no_walls.load_world()
    task()
    assert REGISTRY.get_sample_value("invariant_violations", {"check": "payment_status_differs"}) == 0


def test_without_redis_the_rest_is_looked_at(clean: Database) -> None:
    said = manage("audit", DATABASE_URL=clean.url, REDIS_URL="redis://127.0.0.1:1/0")

    assert said.returncode == 2
    assert "18 checks" in said.stdout
    assert "the waiting rooms were not checked" in said.stderr
    with pytest.raises(CommandError, match="There is no event"):
        call_command("audit", "--event", new_user())


def test_nothing_is_found_while_a_sale_goes_on(clean: Database, audit: Audit, web: Api) -> None:
    from queueing import services as queueing
    from reservations.services import sweep

    clean.rows(
        "INSERT INTO queue_policies (event_id, threshold, admissions_per_second, burst) VALUES (%s, 6, 50, 50)", THEATRE
    )
    audits: list[tuple[int, dict[str, list[dict[str, Any]]]]] = []
    sold: list[int] = []
    buyers = set(range(12))

    def buyer(number: int) -> None:
        chance = random.Random(number)
        for _ in range(15):
            user = new_user()
            event, numbers = chance.choice([(THEATRE, range(1, 41)), (HALL, range(1, 21))])
            web.post(f"/queue/check/{event}", user=user)
            if chance.random() < 0.3:
                answer = web.buy(user, STANDING, **{STANDING_A: chance.randint(1, 3)})
            else:
                seats = [seat(7 if event == THEATRE else 1, n) for n in chance.sample(numbers, 2)]
                answer = web.reserve(user, event, *seats)
            if answer.status != 201:
                continue
            made = answer.json["reservation"]
            end = chance.choice(["confirm", "cancel", "expire", "confirm and cancel", "leave"])
            if "confirm" in end:
                sold.append(web.confirm(made["id"], made["totalAmount"]).status)
            if "cancel" in end:
                web.cancel(user, made["id"])
            if end == "expire":
                clean.expire(made["id"])
        buyers.remove(number)

    def auditor() -> None:
        from django.db import connection

        while buyers:
            queueing.admit_next()
            sweep()
            audits.append(audit())
        connection.close()

    at_once([*(lambda number=number: buyer(number) for number in sorted(buyers)), auditor])
    sweep()
    audits.append(audit())

    assert len(audits) > 3
    assert sold.count(200) > 10
    assert clean.one("SELECT count(DISTINCT status) FROM reservations") == 4
    assert audits == [(0, {})] * len(audits)
