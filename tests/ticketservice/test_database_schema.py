"""The tables of the plan, made by `migrate` alone, and what they make impossible for every writer."""

import psycopg
import pytest
from psycopg import errors

from tests.support.harness import HALL, STANDING_A, Database, manage, new_user, seat

pytestmark = pytest.mark.slow

LOCKED_BY_A, LOCKED_BY_B, SOLD_TO_A, FREE = seat(1, 20), seat(1, 17), seat(1, 19), seat(1, 1)
PENDING_SEAT = "4e500000-0000-4000-8000-000000000001"
PENDING_TICKETS = "4e500000-0000-4000-8000-000000000008"

PLAN = {
    "events": "id title description venue address event_date sale_start_date sale_end_date poster_image_url status"
    " artist_name seat_layout_id created_at updated_at",
    "ticket_types": "id event_id name price total_quantity available_quantity description created_at updated_at",
    "seat_layouts": "id name description total_seats layout_config created_at updated_at",
    "seats": "id event_id section row_number seat_number seat_label price status created_at updated_at",
    "reservations": "id user_id event_id reservation_number total_amount status payment_status payment_method expires_at"
    " created_at updated_at",
    "reservation_items": "id reservation_id ticket_type_id seat_id quantity unit_price subtotal created_at",
    "keyword_mappings": "id korean english entity_type created_at",
}


@pytest.fixture
def empty_database(database_url: str):
    """The URL of a database in which nothing is."""
    server, _, _ = database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS test_empty")
        admin.execute("CREATE DATABASE test_empty")
        yield f"{server}/test_empty"
        admin.execute("DROP DATABASE test_empty WITH (FORCE)")


def test_migrate_alone_makes_the_schema(empty_database: str) -> None:
    done = manage("migrate", DATABASE_URL=empty_database)
    assert done.returncode == 0, done.stderr
    database = Database(empty_database)
    assert database.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'") == []
    for table, columns in PLAN.items():
        found = database.rows(
            "SELECT column_name, column_default, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'ticket_schema' AND table_name = %s",
            table,
        )
        assert set(columns.split()) <= {column["column_name"] for column in found}, table
    assert database.one("SELECT count(*) > 0 FROM ticket_schema.django_migrations")
    database.load_world()  # a writer who knows only the plan's columns
    assert manage("makemigrations", "--check", "--dry-run", DATABASE_URL=empty_database).returncode == 0
    assert database.rows("SELECT 1 FROM pg_constraint WHERE conname = 'reservation_user'") == []
    database.close()


@pytest.mark.long
def test_migrations_go_backwards_too(empty_database: str) -> None:
    for arguments in (["migrate"], ["migrate", "seats", "zero"], ["migrate", "events", "zero"], ["migrate"]):
        done = manage(*arguments, DATABASE_URL=empty_database)
        assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_reservations_refer_to_users_where_there_are_users(empty_database: str) -> None:
    database = Database(empty_database)
    database.rows("CREATE SCHEMA auth_schema")
    database.rows("CREATE TABLE auth_schema.users (id uuid PRIMARY KEY)")
    assert manage("migrate", DATABASE_URL=empty_database).returncode == 0
    assert manage("migrate", DATABASE_URL=empty_database).returncode == 0
    insert = "INSERT INTO reservations (user_id, reservation_number, total_amount) VALUES (%s, %s, 0)"
    user = new_user()
    with pytest.raises(errors.ForeignKeyViolation):
        database.rows(insert, user, "TK1")
    database.rows("INSERT INTO auth_schema.users VALUES (%s)", user)
    database.rows(insert, user, "TK1")
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE ticket_types SET available_quantity = -1 WHERE id = '{STANDING_A}'",
        f"UPDATE ticket_types SET available_quantity = total_quantity + 1 WHERE id = '{STANDING_A}'",
        f"UPDATE ticket_types SET price = -1 WHERE id = '{STANDING_A}'",
        f"UPDATE seats SET price = -1 WHERE id = '{FREE}'",
        f"UPDATE seats SET status = 'taken' WHERE id = '{FREE}'",
        f"UPDATE events SET status = 'open' WHERE id = '{HALL}'",
        f"UPDATE events SET sale_end_date = sale_start_date - interval '1 s' WHERE id = '{HALL}'",
        f"UPDATE reservations SET status = 'paid' WHERE id = '{PENDING_SEAT}'",
        f"UPDATE reservations SET payment_status = 'paid' WHERE id = '{PENDING_SEAT}'",
        f"UPDATE reservations SET total_amount = -1 WHERE id = '{PENDING_SEAT}'",
        "UPDATE reservation_items SET quantity = 0",
        "UPDATE reservation_items SET unit_price = -1",
        "UPDATE reservation_items SET subtotal = -1",
        # locked or sold, and nobody's
        f"UPDATE seats SET status = 'sold' WHERE id = '{FREE}'",
        f"UPDATE seats SET status = 'locked' WHERE id = '{FREE}'",
        (
            f"INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price, status)"
            f" VALUES ('{HALL}', 'X', 1, 1, 'X-1-1', 1, 'sold')"
        ),
        f"UPDATE reservations SET status = 'cancelled' WHERE id = '{PENDING_SEAT}'",
        f"DELETE FROM reservation_items WHERE seat_id = '{SOLD_TO_A}'",
        f"UPDATE reservation_items SET seat_id = NULL WHERE seat_id = '{SOLD_TO_A}'",
    ],
)
def test_wrong_data_is_refused(world: Database, statement: str) -> None:
    before = world.everything()
    with pytest.raises(errors.CheckViolation):
        world.rows(statement)
    assert world.everything() == before


@pytest.mark.parametrize("taken", [LOCKED_BY_A, LOCKED_BY_B, SOLD_TO_A])
def test_a_seat_is_in_one_live_reservation(world: Database, taken: str) -> None:
    """The other writer knows only the plan's columns."""
    before = world.everything()
    item = "INSERT INTO reservation_items (reservation_id, seat_id, unit_price, subtotal) VALUES (%s, %s, 1, 1)"
    with pytest.raises(errors.UniqueViolation):
        world.rows(item, PENDING_TICKETS, taken)
    assert world.everything() == before


def test_a_reservation_does_not_come_back_to_life_over_another(world: Database) -> None:
    cancelled = "4e500000-0000-4000-8000-000000000003"  # had seat R-4-3
    world.rows(
        "INSERT INTO reservation_items (reservation_id, seat_id, unit_price, subtotal) VALUES (%s, %s, 1, 1)",
        PENDING_TICKETS,
        seat(1, 18),
    )
    with pytest.raises(errors.UniqueViolation):
        world.rows("UPDATE reservations SET status = 'pending' WHERE id = %s", cancelled)


def test_a_writer_of_the_plan_may_work_in_any_order_within_a_transaction(world: Database) -> None:
    reservation = new_user()
    world.rows("BEGIN")
    world.rows("UPDATE seats SET status = 'locked' WHERE id = %s", FREE)
    world.rows(
        "INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount) VALUES (%s, %s, %s, 'TKX', 1)",
        reservation,
        new_user(),
        HALL,
    )
    world.rows(
        "INSERT INTO reservation_items (reservation_id, seat_id, unit_price, subtotal) VALUES (%s, %s, 1, 1)",
        reservation,
        FREE,
    )
    world.rows("COMMIT")
    assert world.one("SELECT status FROM seats WHERE id = %s", FREE) == "locked"
