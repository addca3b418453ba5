"""What is for sale while we measure: always the same, with ids that can be computed."""

import time
from collections.abc import Sequence
from hashlib import md5
from typing import Any
from uuid import UUID

import jwt
import psycopg
import redis

USERS = 1000
OTHERS = 200
TYPES_OF_OTHERS = 2
SEATS_OF_LARGE = 100_000
SEATS_OF_HALL = 4_900
TITLE = "Bench"  # of every event, as its first word: what else is in a database is not ours
OURS = b"bench"  # a key that says the same of Redis


def named(name: str) -> str:
    """The id that belongs to a name. In SQL: `md5(name)::uuid`."""
    return str(UUID(md5(name.encode(), usedforsecurity=False).hexdigest()))


LARGE = named("event-large")  # 100,000 seats
HALL = named("event-hall")  # 4,900 seats


def seat(event: str, number: int) -> str:
    """The id of a seat, from 1, of "large" or "hall"."""
    return named(f"seat-{event}-{number}")


def user(number: int) -> str:
    return named(f"user-{number % USERS}")


def other(number: int) -> str:
    """The id of one of the other events."""
    return named(f"event-{number % OTHERS}")


def ticket_type(number: int) -> tuple[str, str]:
    """An event and one of its ticket types."""
    event = number % OTHERS
    return named(f"event-{event}"), named(f"type-{event}-{number // OTHERS % TYPES_OF_OTHERS}")


def tokens(secret: str) -> list[str]:
    now = int(time.time())
    return [
        jwt.encode({"userId": user(n), "email": f"{n}@example.com", "exp": now + 86_400}, secret, algorithm="HS256")
        for n in range(USERS)
    ]


_LAYOUT = """
INSERT INTO seat_layouts (id, name, total_seats, layout_config)
SELECT md5('layout-' || name)::uuid, 'Bench ' || name, sections * rows * places, jsonb_build_object('sections', (
    SELECT jsonb_agg(jsonb_build_object('name', 'S' || s, 'rows', rows, 'seatsPerRow', places, 'price', 100000,
                                        'startRow', 1)) FROM generate_series(1, sections) s))
FROM (VALUES ('large', 50, 40, 50), ('hall', 7, 20, 35)) AS l (name, sections, rows, places)
"""

_EVENTS = """
INSERT INTO events (id, title, description, venue, address, event_date, sale_start_date, sale_end_date, status,
                    artist_name, seat_layout_id, max_seats_per_reservation)
SELECT md5('event-' || name)::uuid, 'Bench ' || name, repeat('A concert. ', 20), 'Hall ' || name, 'Seoul',
       date_trunc('day', now()) + interval '90 days', date_trunc('day', now()) - interval '1 day' - n * interval '1 min',
       date_trunc('day', now()) + interval '60 days', 'on_sale', 'Artist ' || name, layout, 4
FROM (
    SELECT n, n::text AS name, NULL::uuid AS layout FROM generate_series(0, %(others)s - 1) n
    UNION ALL VALUES (1000, 'large', md5('layout-large')::uuid), (1001, 'hall', md5('layout-hall')::uuid)
) e
"""

_SEATS = """
INSERT INTO seats (id, event_id, section, row_number, seat_number, seat_label, price)
SELECT md5('seat-' || name || '-' || n + 1)::uuid, md5('event-' || name)::uuid, 'S' || 1 + n / (rows * places),
       1 + mod(n / places, rows), 1 + mod(n, places),
       'S' || 1 + n / (rows * places) || '-' || 1 + mod(n / places, rows) || '-' || 1 + mod(n, places), 100000
FROM (VALUES ('large', %(large)s, 40, 50), ('hall', %(hall)s, 20, 35)) AS l (name, total, rows, places),
     LATERAL generate_series(0, total - 1) n
"""

_TYPES = """
INSERT INTO ticket_types (id, event_id, name, price, total_quantity, available_quantity)
SELECT md5('type-' || e || '-' || t)::uuid, md5('event-' || e)::uuid, 'Type ' || t, 50000 * (t + 1), 100000000, 100000000
FROM generate_series(0, %(others)s - 1) e, generate_series(0, %(types)s - 1) t
"""

# High enough that the door's script runs and lets everybody in.
_POLICIES = """
INSERT INTO queue_policies (event_id, threshold, admissions_per_second, burst)
SELECT id, 1000000, 1000000, 1000000 FROM events
"""


def connect(database_url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(database_url, autocommit=True, options="-c search_path=ticket_schema,public")


def refuse_foreign(database_url: str, redis_url: str) -> None:
    """Raises RuntimeError for servers that hold something else than this catalogue: all of it would be lost."""
    with connect(database_url) as connection:
        table = connection.execute("SELECT to_regclass('ticket_schema.events')").fetchone()
        if table != (None,):
            ours = [f"{TITLE} %"]
            if connection.execute("SELECT 1 FROM events WHERE title NOT LIKE %s LIMIT 1", ours).fetchone():
                raise RuntimeError("DATABASE_URL names a database with events that are not ours: give an empty one")
    with redis.Redis.from_url(redis_url) as client:
        if client.dbsize() and not client.exists(OURS):
            raise RuntimeError("REDIS_URL names a database with keys that are not ours: give an empty one")
        client.set(OURS, 1)


def load(database_url: str) -> None:
    """Fills an empty database, once."""
    with connect(database_url) as connection:
        if connection.execute("SELECT count(*) FROM events").fetchone() == (0,):
            given = {"others": OTHERS, "large": SEATS_OF_LARGE, "hall": SEATS_OF_HALL, "types": TYPES_OF_OTHERS}
            with connection.transaction():
                for statement in (_LAYOUT, _EVENTS, _SEATS, _TYPES, _POLICIES):
                    connection.execute(statement, given if "%(" in statement else None)
        # Moves with the calendar, so that the sale is always on.
        connection.execute(
            "UPDATE events SET event_date = now() + interval '90 days', sale_end_date = now() + interval '60 days'"
        )


def reset(database_url: str, redis_url: str) -> None:
    """Takes back all that was sold, and empties the caches. Raises what `refuse_foreign` raises."""
    refuse_foreign(database_url, redis_url)
    with connect(database_url) as connection:
        connection.execute("TRUNCATE reservations, idempotency_keys CASCADE")
        connection.execute("UPDATE seats SET status = 'available' WHERE status <> 'available'")
        connection.execute("UPDATE ticket_types SET available_quantity = total_quantity")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(count=1000):
            if key != OURS and not key.startswith((b"_kombu", b"unacked", b"admission", b"ticks", b"work")):  # Celery's
                client.delete(key)


def reserve_for_confirming(database_url: str, seats: Sequence[int]) -> list[str]:
    """Pending reservations of these seats of the large event; their ids."""
    with connect(database_url) as connection, connection.transaction():
        connection.execute(
            """
            WITH chosen AS (SELECT n, md5('seat-large-' || n)::uuid AS seat FROM unnest(%(seats)s::int[]) n),
            made AS (
                INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount, expires_at)
                SELECT md5('reservation-' || n)::uuid, md5('user-' || n %% %(users)s)::uuid, %(event)s, 'B' || n, 100000,
                       now() + interval '10 min'
                FROM chosen
            ),
            items AS (
                INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal, is_live)
                SELECT md5('reservation-' || n)::uuid, seat, 1, 100000, 100000, true FROM chosen
            )
            UPDATE seats s SET status = 'locked' FROM chosen c WHERE s.id = c.seat
            """,
            {"seats": list(seats), "users": USERS, "event": LARGE},
        )
        connection.execute("ANALYZE reservations, reservation_items")
    return [named(f"reservation-{n}") for n in seats]
