"""Seats from layouts."""

import time
from uuid import UUID

import psycopg
import pytest

from events.errors import ImpossibleLayout
from tests.support.harness import HALL, Api, Database, manage
from tests.support.seat_layouts import SECTION, new_event

pytestmark = pytest.mark.slow


def seats_of(world: Database, event_id: UUID) -> list[dict]:
    return world.rows(
        "SELECT section, row_number, seat_number, seat_label, price, status FROM seats WHERE event_id = %s"
        " ORDER BY section, row_number, seat_number",
        event_id,
    )


def test_seats_are_made_once(world: Database, web: Api) -> None:
    from seats.services import generate_seats

    event_id = new_event(world, SECTION, {"name": "R", "rows": 1, "seatsPerRow": 3, "price": 0, "startRow": 3})
    assert web.get(f"/seats/events/{event_id}").json["seats"] == []
    assert generate_seats(event_id=event_id) == 13
    assert generate_seats(event_id=event_id) == 0
    made = seats_of(world, event_id)
    assert len(made) == 13
    assert made[0] == {
        "section": "R", "row_number": 3, "seat_number": 1, "seat_label": "R-3-1", "price": 0, "status": "available"
    }  # fmt: skip
    assert [s["seat_label"] for s in web.get(f"/seats/events/{event_id}").json["seats"]] == [
        s["seat_label"] for s in made
    ]


def test_a_complete_event_is_not_locked(world: Database, database_url: str) -> None:
    """Every save of an event asks for its seats: the next save, and the update of its status, would wait for nothing."""
    from seats.services import generate_seats

    event_id = new_event(world, {**SECTION, "startRow": 7}, {**SECTION, "startRow": 40}, {**SECTION, "name": "R"})
    assert generate_seats(event_id=event_id) == 30
    with psycopg.connect(database_url) as organiser:
        organiser.execute("SELECT FROM ticket_schema.events WHERE id = %s FOR UPDATE", [event_id])
        assert generate_seats(event_id=event_id) == 0
    world.rows("UPDATE seats SET seat_number = 99 WHERE event_id = %s AND seat_label = 'R-1-1'", event_id)
    with pytest.raises(ImpossibleLayout):
        generate_seats(event_id=event_id)


def test_missing_seats_are_filled_in_and_sold_ones_stay(world: Database) -> None:
    from seats.services import generate_seats

    world.rows("DELETE FROM seats WHERE event_id = %s AND seat_number = 2 AND section = 'VIP'", HALL)
    assert generate_seats(event_id=UUID(HALL)) == 2
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status <> 'available'", HALL) == 3


def test_fifty_thousand_in_a_few_seconds(world: Database) -> None:
    from seats.services import generate_seats

    event_id = new_event(world, {"name": "S", "rows": 250, "seatsPerRow": 200, "price": 1, "startRow": 1})
    started = time.monotonic()
    assert generate_seats(event_id=event_id) == 50_000
    print(f"50,000 seats in {time.monotonic() - started:.1f} s")
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s", event_id) == 50_000


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ({}, "no sections"),
        ([], "no sections"),
        ({"sections": []}, "no sections"),
        ({"sections": ["VIP"]}, "not an object"),
        ({"sections": [{**SECTION, "name": ""}]}, "no name"),
        ({"sections": [{**SECTION, "rows": 0}]}, "no seats"),
        ({"sections": [{**SECTION, "seatsPerRow": 0}]}, "no seats"),
        ({"sections": [{**SECTION, "rows": -1}]}, "rows must be"),
        ({"sections": [{**SECTION, "rows": "2"}]}, "rows must be"),
        ({"sections": [{**SECTION, "price": -1}]}, "price must be"),
        ({"sections": [{**SECTION, "price": 1.5}]}, "price must be"),
        ({"sections": [{**SECTION, "startRow": 0}]}, "startRow must be"),
        ({"sections": [SECTION, {**SECTION, "startRow": 2}]}, "row 2 twice"),
        ({"sections": [{**SECTION, "name": "A section name as long"}]}, "characters"),
        ({"sections": [{**SECTION, "name": "sixteen letters!", "startRow": 99}]}, "characters"),
        ({"sections": [{**SECTION, "rows": 1000, "seatsPerRow": 1000}]}, "The most is"),
    ],
)
def test_impossible_layouts_are_refused(world: Database, layout: object, reason: str) -> None:
    from events.errors import ImpossibleLayout
    from seats.services import generate_seats

    event_id = new_event(world, layout=layout)
    with pytest.raises(ImpossibleLayout, match=reason):
        generate_seats(event_id=event_id)
    assert seats_of(world, event_id) == []


def test_another_layout_is_not_mixed_in(world: Database) -> None:
    from events.errors import ImpossibleLayout
    from seats.services import generate_seats

    other = "1a400000-0000-4000-8000-000000000002"
    world.rows("UPDATE events SET seat_layout_id = %s WHERE id = %s", other, HALL)
    before = world.everything()
    with pytest.raises(ImpossibleLayout, match="20 seats already"):
        generate_seats(event_id=UUID(HALL))
    assert world.everything() == before


@pytest.mark.long
def test_the_command_makes_what_is_missing(world: Database, database_url: str) -> None:
    event_id = new_event(world, SECTION)
    done = manage("generate_seats", DATABASE_URL=database_url)
    assert (done.returncode, len(seats_of(world, event_id))) == (0, 10), done.stderr
    bad = new_event(world, {**SECTION, "rows": 0})
    done = manage("generate_seats", str(bad), DATABASE_URL=database_url)
    assert done.returncode == 1
    assert "no seats" in done.stderr
    assert "Traceback" not in done.stderr
