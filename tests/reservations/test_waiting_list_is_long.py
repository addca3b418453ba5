"""10,000 wait: a statement that releases many places is far from its time limit, and one that suits nobody is quick."""

import time

import pytest

from tests.support.harness import Api, Database, assert_books_agree
from tests.support.waitlist import sold_out

pytestmark = pytest.mark.slow

WAITING = 10_000
LAPSED = 100


def add_waiting(world: Database, event: str, section: str | None) -> None:
    world.rows(
        "INSERT INTO waitlist_entries (event_id, user_id, quantity, section)"
        " SELECT %s, gen_random_uuid(), 1, %s FROM generate_series(1, %s)",
        event,
        section,
        WAITING,
    )


def add_lapsed(world: Database, event: str) -> None:
    """Seats whose holds are over, each of a buyer of its own."""
    world.rows("BEGIN")
    world.rows(
        "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price, status)"
        " SELECT %s, 'L', 1 + n / 25, n, 'L-' || n, 1000, 'locked' FROM generate_series(1, %s) n",
        event,
        LAPSED,
    )
    world.rows(
        "WITH made AS ("
        "   INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, expires_at)"
        "   SELECT gen_random_uuid(), event_id, 'L' || id, price, now() - interval '1 s'"
        "   FROM seats WHERE event_id = %s AND section = 'L' RETURNING id, reservation_number)"
        " INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal, is_live)"
        " SELECT made.id, substr(reservation_number, 2)::uuid, 1, 1000, 1000, true FROM made",
        event,
    )
    world.rows("COMMIT")


def test_100_lapse_in_one_statement(web: Api, world: Database) -> None:
    from reservations import services

    services.expire_due(limit=10_000)  # what world.sql has
    sale = sold_out(world, web, seats=1)
    add_waiting(world, sale.event, None)
    add_lapsed(world, sale.event)
    started = time.perf_counter()
    assert services.expire_due(limit=LAPSED) == LAPSED
    seconds = time.perf_counter() - started
    print(f"{LAPSED} of {WAITING} were offered seats in {seconds:.2f} s")
    states = world.rows("SELECT status FROM waitlist_entries WHERE event_id = %s ORDER BY id", sale.event)
    assert [row["status"] for row in states] == ["offered"] * LAPSED + ["waiting"] * (WAITING - LAPSED)
    assert_books_agree(sale.event)


def test_what_suits_none_of_them_costs_little(web: Api, world: Database) -> None:
    sale = sold_out(world, web, seats=2)
    world.rows("UPDATE seats SET section = 'S' WHERE id = %s", sale.seats[1])
    add_waiting(world, sale.event, "S")
    started = time.perf_counter()
    assert web.cancel(sale.holders[0], sale.holds[0]).status == 200
    seconds = time.perf_counter() - started
    print(f"a seat that suits none of {WAITING} was released in {seconds * 1000:.0f} ms")
    assert world.one("SELECT status FROM seats WHERE id = %s", sale.seats[0]) == "available"
