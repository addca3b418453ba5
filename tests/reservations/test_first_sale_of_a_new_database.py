"""The first sales of a database whose tables PostgreSQL knows nothing of cost what later ones cost."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.harness import Database, manage, new_user, running_web
from tests.support.seat_layouts import new_event

SOLD = 400
GROWING = ("reservations", "reservation_items", "seats")


@pytest.fixture
def new_database(database_url: str, redis: Any) -> Iterator[Database]:
    """Migrated and never analysed."""
    server, name = database_url.rpartition("/")[0], "test_first_sale"
    redis.flushall()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name}")
        assert manage("migrate", DATABASE_URL=f"{server}/{name}").returncode == 0
        database = Database(f"{server}/{name}")
        for table in (*GROWING, "ticket_types"):  # of an earlier run the statistics would be too good
            database.rows(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        yield database
        database.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def rows_read(database: Database) -> int:
    """By scans of the tables that grow, and of their indexes."""
    tables = "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname = ANY(%s)"
    indexes = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = ANY(%s)"
    return database.one(f"SELECT ({tables}) + ({indexes})", list(GROWING), list(GROWING))


@pytest.mark.long
def test_a_sale_reads_its_own_rows_only(new_database: Database, logs: Path) -> None:
    event = str(new_event(new_database, {"name": "S", "rows": 50, "seatsPerRow": 100, "price": 1000, "startRow": 1}))
    assert manage("generate_seats", DATABASE_URL=new_database.url).returncode == 0
    new_database.rows("DELETE FROM pg_statistic WHERE starelid = 'seats'::regclass")  # as if another had made the seats
    ticket = new_database.one(
        "INSERT INTO ticket_types (event_id, name, price, total_quantity, available_quantity)"
        " VALUES (%s, 't', 1, 10000, 10000) RETURNING id::text",
        event,
    )
    new_database.turn_waiting_rooms_off()
    seats = [row["id"] for row in new_database.rows("SELECT id::text FROM seats ORDER BY id LIMIT %s", SOLD)]
    time.sleep(1.5)  # until sessions have told what they read
    before = rows_read(new_database)
    with running_web(logs / "first_sale.log", DATABASE_URL=new_database.url, WEB_WORKERS="1", WEB_THREADS="8") as web:

        def sell(number: int) -> list[int]:
            user = new_user()
            reserved = web.reserve(user, event, seats[number])
            bought = web.buy(user, event, **{ticket: 1})
            assert web.reserve(new_user(), event, seats[number]).status == 400
            reservation = reserved.json["reservation"]["id"]
            ended = web.confirm(reservation, 1000) if number % 2 else web.cancel(user, reservation)
            return [reserved.status, bought.status, ended.status]

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(sell, range(SOLD))) == [[201, 201, 200]] * SOLD
        mine = web.get("/reservations/my", user=new_user())
        assert (mine.status, mine.json["reservations"]) == (200, [])
    time.sleep(1.5)
    read = (rows_read(new_database) - before) / SOLD
    print(f"{read:.0f} rows and index entries for each sale")
    assert read < 100  # the event has 5,000 seats, and in the end hundreds of reservations
