"""`manage.py import_legacy`, from a database with the old service's columns seen through `web` afterwards.

LEGACY_IMPORT_SEATS=1000000 imports that many seats in the test that is interrupted; the others have a few thousand.
"""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from tests.support.harness import ROOT, Api, Database, manage, stop, wait_until
from tests.support.old_service import create_old_service, made

pytestmark = pytest.mark.slow

TABLES = ["seat_layouts", "events", "ticket_types", "keyword_mappings", "seats", "reservations", "reservation_items"]
EVENT = made("e0e0", 1, 0)
SEATS = int(os.environ.get("LEGACY_IMPORT_SEATS", "4000"))


@contextmanager
def old_database(server: str, name: str, template: str = "template1") -> Iterator[str]:
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield f"{server}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def old_template(database_url: str) -> Iterator[str]:
    """The name of a database that is copied for each test."""
    with old_database(database_url.rpartition("/")[0], "test_old_template") as url:
        create_old_service(url, seats=SEATS)
        yield url.rpartition("/")[2]


@pytest.fixture
def old(database_url: str, old_template: str) -> Iterator[Database]:
    with old_database(database_url.rpartition("/")[0], "test_old", old_template) as url:
        service = Database(url)
        yield service
        service.close()


@pytest.fixture
def new(database: Database, redis) -> Iterator[Database]:
    """The service's database, empty."""

    def empty() -> None:
        for table in database.rows(
            "SELECT relname FROM pg_class WHERE starts_with(relname, 'legacy_import') AND relkind = 'r'"
        ):
            database.rows(f"DROP TABLE {table['relname']}")
        database.rows(f"TRUNCATE {', '.join(TABLES)} CASCADE")
        redis.flushall()

    empty()
    yield database
    empty()


@pytest.fixture
def import_legacy(new: Database, old: Database, django_db_blocker) -> Iterator[Callable[..., tuple[str, str]]]:
    """Runs the command in this process. Returns its output and its error message."""

    def run(*options: str) -> tuple[str, str]:
        output = io.StringIO()
        try:
            call_command("import_legacy", "--from", old.url, *options, stdout=output)
        except CommandError as error:
            return output.getvalue(), str(error)
        return output.getvalue(), ""

    with django_db_blocker.unblock():
        yield run


def killed_when_waiting(old: Database, new: Database, waiting_in: Database, log: Path, sessions: int = 1) -> None:
    """Starts an import, and kills it once it waits for locks that the caller holds in one of the databases."""
    command = [sys.executable, "manage.py", "import_legacy", "--from", old.url, "--batch", str(max(200, SEATS // 50))]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "DATABASE_URL": new.url}, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            " AND application_name IN ('import_legacy', 'ticketservice')"
        )
        wait_until(lambda: process.poll() is not None or waiting_in.one(waits) == sessions, seconds=120)
        assert process.poll() is None, log.read_text()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        stop(process)


@contextmanager
def in_the_way(url: str, statement: str) -> Iterator[None]:
    """Holds the locks that a statement takes."""
    with psycopg.connect(url, options="-c search_path=ticket_schema,public") as blocker:
        blocker.execute(statement)
        yield
        blocker.rollback()


def as_it_should_be(old: Database) -> dict[str, set[str]]:
    """What the old service's rows are here, by table: worked out by hand, not by the code under test."""
    shown = {
        "seat_layouts": "id, name, description, total_seats, layout_config::text",
        "events": "id, title, description, venue, address, event_date AT TIME ZONE 'Asia/Seoul',"
        " sale_start_date AT TIME ZONE 'Asia/Seoul', sale_end_date AT TIME ZONE 'Asia/Seoul',"
        " CASE WHEN status = 'upcoming' AND sale_start_date < localtimestamp THEN 'on_sale' ELSE status END, seat_layout_id,"
        " artist_name, created_at AT TIME ZONE 'Asia/Seoul'",
        "ticket_types": "id, event_id, name, price, total_quantity, available_quantity,"
        " created_at AT TIME ZONE 'Asia/Seoul'",
        "keyword_mappings": "id, korean, english, entity_type",
        "seats": "id, event_id, section, row_number, seat_number, seat_label, price,"
        " CASE status WHEN 'reserved' THEN 'sold' ELSE status END, created_at AT TIME ZONE 'Asia/Seoul'",
        "reservations": "id, user_id, event_id, reservation_number, total_amount, status, payment_status, payment_method,"
        " expires_at AT TIME ZONE 'Asia/Seoul', created_at AT TIME ZONE 'Asia/Seoul', CASE WHEN status = 'pending' AND"
        " expires_at IS NULL THEN created_at AT TIME ZONE 'Asia/Seoul' + interval '300 s' END",
        "reservation_items": "id, reservation_id, ticket_type_id, seat_id, quantity, unit_price, subtotal,"
        " reservation_id IN (SELECT id FROM reservations WHERE status IN ('pending', 'confirmed'))",
    }
    return {table: everything(old, columns, table) for table, columns in shown.items()}


def as_it_is(new: Database) -> dict[str, set[str]]:
    shown = {
        "seat_layouts": "id, name, description, total_seats, layout_config::text",
        "events": "id, title, description, venue, address, event_date, sale_start_date, sale_end_date, status,"
        " seat_layout_id, artist_name, created_at",
        "ticket_types": "id, event_id, name, price, total_quantity, available_quantity, created_at",
        "keyword_mappings": "id, korean, english, entity_type",
        "seats": "id, event_id, section, row_number, seat_number, seat_label, price, status, created_at",
        "reservations": "id, user_id, event_id, reservation_number, total_amount, status, payment_status, payment_method,"
        " expires_at, created_at, held_until",
        "reservation_items": "id, reservation_id, ticket_type_id, seat_id, quantity, unit_price, subtotal, is_live",
    }
    return {table: everything(new, columns, table) for table, columns in shown.items()}


def everything(database: Database, columns: str, table: str) -> set[str]:
    database.rows("SET timezone = 'UTC'")
    return {row["shown"] for row in database.rows(f"SELECT ROW({columns})::text AS shown FROM {table}")}


def differences(one: dict[str, set[str]], other: dict[str, set[str]]) -> list[str]:
    """The first rows that are in one only."""
    return [row for table in one for row in sorted(one[table] ^ other[table])[:4]]


def seats_by_status(web: Api, event: str) -> dict[str, int]:
    answer = web.get(f"/seats/events/{event}", headers={"Accept-Encoding": "identity"})
    statuses = [seat["status"] for seat in answer.json["seats"]]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_import_that_is_killed_repeatedly_ends_complete(
    old: Database, new: Database, web: Api, logs: Path, import_legacy
) -> None:
    events = SEATS // 1000
    log = logs / "import_legacy.log"
    with in_the_way(old.url, "LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE"):  # when events and seats are read
        killed_when_waiting(old, new, old, log)
    assert new.one("SELECT to_regclass('legacy_import')") is None
    assert [new.one(f"SELECT count(*) FROM {table}") for table in TABLES] == [0] * 7

    available = SEATS - 210 * events
    counted = []
    for event in (
        events // 2 + 1,
        events,
    ):  # available seats and live reservations are imported concurrently: both are stopped
        seat = "INSERT INTO seats (id, event_id, section, row_number, seat_number, seat_label, price)"
        reservation = "INSERT INTO reservations (id, user_id, reservation_number, total_amount)"
        middle = f"{seat} VALUES ('{made('5ea7', event, 700)}', '{EVENT}', 'X', 1, 1, 'X', 1);"
        middle += f"{reservation} VALUES ('{made('4e50', event, 50)}', '{EVENT}', 'X', 1)"
        with in_the_way(new.url, middle):
            killed_when_waiting(old, new, new, log, sessions=2)
        counted.append([new.one("SELECT count(*) FROM seats WHERE status = 'available'"),
                        new.one("SELECT count(*) FROM reservations")])  # fmt: skip
    assert 0 < counted[0][0] < counted[1][0] < available
    assert 0 < counted[0][1] < counted[1][1] < 110 * events
    assert new.one("SELECT count(*) FROM reservations WHERE deadline IS NOT NULL AND status = 'pending'") == 0
    shown = web.get(f"/events/{EVENT}").json["event"]
    assert (shown["status"], shown["seat_layout_id"]) == ("ended", None), (
        "nothing is on sale before everything is there"
    )

    with in_the_way(new.url, "LOCK TABLE events IN ROW EXCLUSIVE MODE"):  # everything is there, but not open
        killed_when_waiting(old, new, new, log)
    assert new.one("SELECT count(*) FROM seats") == SEATS
    assert new.one("SELECT count(*) FROM events WHERE status <> 'ended'") == 0
    web.get("/events")  # is now in the cache

    done = manage("import_legacy", "--from", old.url, DATABASE_URL=new.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Continuing the import from" in done.stdout
    assert "Imported and verified" in done.stdout
    assert f"seats: {SEATS:,} rows; " in done.stdout
    assert not differences(as_it_is(new), as_it_should_be(old))

    # Half past midnight in Seoul is the day before in UTC.
    shown = web.get(f"/events/{EVENT}").json["event"]
    assert shown["event_date"] == "2030-05-31T15:30:00.000Z"
    assert shown["sale_start_date"] == "2026-02-28T15:00:00.000Z"
    assert shown["sale_end_date"] == "2030-05-31T14:59:59.123Z"
    assert shown["created_at"] == "2026-02-28T23:59:59.000Z"
    assert {event["status"] for event in web.get("/events").json["events"]} <= {"on_sale", "upcoming"}
    assert seats_by_status(web, EVENT) == {"available": 790, "locked": 10, "sold": 200}

    before = new.everything()
    output, error = import_legacy()
    assert "Nothing to do" in output
    assert error == ""
    assert new.everything() == before


# One invalid row of each kind: the statement, then table, problem and id as the dry run lists them.
PLANTED = [
    ("UPDATE events SET status = 'draft' WHERE id = '{}'", "events", "unknown status", made("e0e0", 4, 0)),
    (
        "UPDATE events SET sale_end_date = '2020-01-01' WHERE id = '{}'",
        "events",
        "sale ends before it starts",
        made("e0e0", 0, 0),
    ),
    (
        "INSERT INTO seat_layouts VALUES ('{}', 'x', '', -1, '[]')",
        "seat_layouts",
        "negative number of seats",
        made("1a40", 0, 2),
    ),
    (
        "UPDATE ticket_types SET available_quantity = 1001 WHERE id = '{}'",
        "ticket_types",
        "stock out of range",
        made("71c0", 2, 1),
    ),
    (
        "INSERT INTO keyword_mappings VALUES ('{}', 'x', 'y', 'z', NULL)",
        "keyword_mappings",
        "created_at is missing",
        made("4e1d", 0, 2),
    ),
    ("UPDATE seats SET price = -1 WHERE id = '{}'", "seats", "negative price", made("5ea7", 3, 800)),
    ("UPDATE seats SET status = 'broken' WHERE id = '{}'", "seats", "unknown status", made("5ea7", 3, 802)),
    (
        "UPDATE seats SET seat_label = repeat('x', 21) WHERE id = '{}'",
        "seats",
        "seat_label is longer than 20",
        made("5ea7", 3, 801),
    ),
    (
        "UPDATE seats SET seat_number = seat_number - 1 WHERE id = '{}'",
        "seats",
        "duplicate: event_id, section, row_number, seat_number",
        made("5ea7", 3, 900),
    ),
    (
        "UPDATE seats SET status = 'reserved' WHERE id = '{}'",
        "seats",
        "locked or sold without a live reservation",
        made("5ea7", 3, 700),
    ),
    (
        "UPDATE reservations SET status = 'confirmed', created_at = '2026-03-02' WHERE id = '{}'",
        "reservations",
        "one of its seats is in another live reservation",
        made("4e50", 1, 1000),
    ),
    (
        "UPDATE reservations SET payment_status = 'odd' WHERE id = '{}'",
        "reservations",
        "unknown payment status",
        made("4e50", 3, 100),
    ),
    (
        "UPDATE reservations SET reservation_number = 'TK3-119' WHERE id = '{}'",
        "reservations",
        "duplicate: reservation_number",
        made("4e50", 3, 120),
    ),
    (
        "UPDATE reservations SET user_id = gen_random_uuid() WHERE id = '{}'",
        "reservations",
        "unknown user",
        made("4e50", 3, 125),
    ),
    (
        "UPDATE reservation_items SET quantity = 0 WHERE id = '{}'",
        "reservation_items",
        "quantity not above 0",
        made("4100", 3, 230),
    ),
    (
        "INSERT INTO reservation_items VALUES ('{}', gen_random_uuid(), NULL, NULL, 1, 1, 1, now())",
        "reservation_items",
        "reservation_id does not exist",
        made("4100", 0, 1),
    ),
    (
        "INSERT INTO reservation_items VALUES ('{}', NULL, NULL, NULL, 1, 1, 1, 'infinity')",
        "reservation_items",
        "created_at is out of range",
        made("4100", 0, 2),
    ),
]
# By table, the ids that are left out: invalid rows and the rows that depend on them.
LEFT_OUT = {
    "seat_layouts": {made("1a40", 0, 2)},
    "events": {made("e0e0", event, 0) for event in (0, 4)},
    "ticket_types": {made("71c0", event, 1) for event in (0, 2, 4)},
    "keyword_mappings": {made("4e1d", 0, 2)},
    "seats": {made("5ea7", 4, number) for number in range(1, 1001)}
    | {made("5ea7", 3, number) for number in (199, 200, 700, 800, 801, 802, 900)},
    "reservations": {made("4e50", 4, number) for number in (*range(1, 126), 1000)}
    | {made("4e50", event, 2000 + number) for event in (0, 2, 4) for number in range(1, 6)}
    | {made("4e50", 3, number) for number in (100, 115, 120, 125)}
    | {made("4e50", 1, 1000)},
    "reservation_items": {made("4100", 4, number) for number in (*range(1, 251), 1000)}
    | {made("4100", event, 2000 + number) for event in (0, 2, 4) for number in range(1, 6)}
    | {made("4100", 3, number) for number in (199, 200, 229, 230, 239, 240, 249, 250)}
    | {made("4100", 1, 1000), made("4100", 0, 1), made("4100", 0, 2)},
}


def ids(database: Database) -> dict[str, set[str]]:
    return {table: {str(row["id"]) for row in database.rows(f"SELECT id FROM {table}")} for table in TABLES}


@pytest.fixture
def known_users(new: Database, old: Database) -> Iterator[None]:
    """The Auth Service's table of users in the service's database, as it is in production."""
    new.rows("CREATE SCHEMA auth_schema")
    new.rows("CREATE TABLE auth_schema.users (id uuid PRIMARY KEY)")
    new.rows(
        "ALTER TABLE reservations ADD CONSTRAINT reservation_user FOREIGN KEY (user_id) REFERENCES auth_schema.users (id)"
    )
    for user in old.rows("SELECT id FROM users"):
        new.rows("INSERT INTO auth_schema.users VALUES (%s)", user["id"])
    yield
    new.rows("ALTER TABLE reservations DROP CONSTRAINT reservation_user")
    new.rows("DROP SCHEMA auth_schema CASCADE")


@pytest.mark.skipif(SEATS != 4000, reason="counts on 4 events")
def test_invalid_rows_are_listed_and_left_out(old: Database, new: Database, known_users: None, import_legacy) -> None:
    for statement, _, _, row in PLANTED:
        old.rows(statement.format(row))
    old.rows("UPDATE seats SET status = 'available' WHERE id = %s", made("5ea7", 3, 10))  # sold
    old.rows("UPDATE ticket_types SET available_quantity = 900 WHERE id = %s", made("71c0", 3, 1))
    empty = new.everything()

    output, error = import_legacy("--dry-run")
    assert "Nothing was written" in error
    for _, table, problem, row in PLANTED:
        assert f"  {table}: {problem}: 1\n    {row}  " in output, (table, problem)
    assert "  seats: its event_id is left out: 1,000\n" in output
    assert "    and 995 more\n" in output
    _, corrected = output.split("Corrected:")
    corrected, inconsistent = corrected.split("Inconsistent, imported unchanged:")
    assert f"{made('5ea7', 3, 10)}  available becomes sold\n" in corrected
    assert f"{made('71c0', 3, 1)}  900 of 1000 available, 12 reserved\n" in inconsistent

    assert "--skip-invalid" in import_legacy()[1]
    assert new.everything() == empty
    assert new.one("SELECT to_regclass('legacy_import')") is None

    output, error = import_legacy("--skip-invalid")
    assert error == ""
    found = ids(new)
    assert {table: rows - found[table] for table, rows in ids(old).items()} == LEFT_OUT
    assert new.one("SELECT status FROM seats WHERE id = %s", made("5ea7", 3, 10)) == "sold"
    kept_for = new.rows(
        "SELECT reservation_id FROM reservation_items WHERE is_live AND seat_id = %s", made("5ea7", 1, 1)
    )
    assert [str(item["reservation_id"]) for item in kept_for] == [made("4e50", 1, 1)]
    assert f"seats: 2,993 rows, {len(LEFT_OUT['seats']):,} left out" in output
    listed = {str(row["id"]) for row in new.rows("SELECT id FROM legacy_import_invalid")}
    assert listed == set.union(*LEFT_OUT.values())


def test_nothing_is_overwritten(old: Database, new: Database, import_legacy) -> None:
    new.rows("INSERT INTO keyword_mappings (korean, english) VALUES ('가', 'ga'), ('나', 'na')")
    before = new.everything()

    _, error = import_legacy()

    assert "nothing is overwritten: keyword_mappings 2." in error
    assert new.everything() == before
    assert new.one("SELECT count(*) FROM keyword_mappings") == 2
    assert new.one("SELECT to_regclass('legacy_import')") is None


def test_changes_during_an_import_are_noticed(old: Database, new: Database, logs: Path, import_legacy) -> None:
    with in_the_way(new.url, "LOCK TABLE events IN ROW EXCLUSIVE MODE"):
        killed_when_waiting(old, new, new, logs / "changed.log")
    available = made("5ea7", 2, 1000)

    new.rows("UPDATE seats SET price = price + 1 WHERE id = %s", available)
    assert "seats differs from what was read (there, here): {'price': " in import_legacy()[1]

    new.rows("UPDATE seats SET id = gen_random_uuid() WHERE id = %s", available)
    assert "nothing is overwritten: seats 1." in import_legacy()[1]

    new.rows("DELETE FROM seats WHERE price = 101001 AND event_id = %s", made("e0e0", 2, 0))
    old.rows(
        "UPDATE seats SET section = 'B' WHERE id = %s", available
    )  # and nothing else: counts and sums are the same
    assert "has changed since" in import_legacy()[1]
    assert new.one("SELECT count(*) FROM events WHERE status <> 'ended'") == 0

    assert import_legacy("--start-over")[1] == ""
    assert not differences(as_it_is(new), as_it_should_be(old))


def test_a_session_of_the_import_leaves_the_connection_as_it_was(world: Database) -> None:
    from django.db import connection

    from legacy_import.staging import import_session

    def limits() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
            return list(cursor.fetchone())

    before = limits()
    with import_session():
        assert limits() == ["1min", "0"]
    assert limits() == before
    assert "0" not in before
