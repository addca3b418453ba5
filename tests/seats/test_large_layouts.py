"""Every layout that the form accepts can be given to an event, also in place of another; its page shows how far that is."""

import time
from uuid import UUID

import pytest

from tests.support.admin_pages import AdminPages
from tests.support.background import BackgroundProcesses
from tests.support.harness import Api, Database, assert_books_agree, manage, new_user, wait_until
from tests.support.seat_layouts import new_event

pytestmark = pytest.mark.slow

HUNDRED_THOUSAND = {"name": "S", "rows": 500, "seatsPerRow": 200, "price": 1000, "startRow": 1}
LARGEST = {"name": "L", "rows": 1000, "seatsPerRow": 200, "price": 2000, "startRow": 1}


def counted(world: Database, event_id: UUID) -> dict[str, int]:
    rows = world.rows("SELECT section, count(*) AS n FROM seats WHERE event_id = %s GROUP BY 1", event_id)
    return {row["section"]: row["n"] for row in rows}


def layout_of(world: Database, event_id: UUID) -> UUID:
    return world.one("SELECT seat_layout_id FROM events WHERE id = %s", event_id)


def add_ended_reservation(world: Database, event_id: UUID) -> None:
    """Of one seat, whose reservation was cancelled: it keeps its amount, and loses its seat with the layout."""
    world.rows(
        "WITH made AS (INSERT INTO reservations"
        " (user_id, event_id, reservation_number, total_amount, status, payment_status)"
        " VALUES (gen_random_uuid(), %s, 'ENDED', 1000, 'cancelled', 'refunded') RETURNING id)"
        " INSERT INTO reservation_items (reservation_id, seat_id, unit_price, subtotal, is_live)"
        " SELECT made.id, s.id, 1000, 1000, false FROM made, (SELECT id FROM seats WHERE event_id = %s LIMIT 1) s",
        event_id,
        event_id,
    )


@pytest.mark.long
def test_layouts_of_100_000_and_200_000_seats_are_exchanged(
    web: Api, world: Database, background: BackgroundProcesses, admin_pages: AdminPages
) -> None:
    from seats.services import generate_seats

    event_id, other = new_event(world, HUNDRED_THOUSAND), new_event(world, LARGEST)
    assert generate_seats(event_id=event_id) == 100_000
    add_ended_reservation(world, event_id)
    background.start("worker")
    small, large = layout_of(world, event_id), layout_of(world, other)
    for layout, expected in ((large, {"L": 200_000}), (small, {"S": 100_000})):
        started = time.monotonic()
        admin_pages.change_event(event_id, layout=layout)
        saved, shown = time.monotonic() - started, set()
        while counted(world, event_id) != expected:
            assert time.monotonic() < started + 120
            page = admin_pages.client.get(f"/admin/events/event/{event_id}/change/").content.decode()
            shown |= {page.partition('<progress class="seat-progress" value="')[2].partition('"')[0]} - {""}
            time.sleep(0.2)
        print(f"saved after {saved:.1f} s, done after {time.monotonic() - started:.1f} s; shown: {shown}")
        assert saved < 5
        assert len(shown) > 1  # the bar has moved
        wait_until(lambda: "seat-progress\" value" not in admin_pages.client.get(
            f"/admin/events/event/{event_id}/change/").content.decode(), seconds=10)  # fmt: skip
        assert layout_of(world, event_id) == layout
    assert world.one("SELECT total_amount FROM reservations WHERE reservation_number = 'ENDED'") == 1000
    seat = world.one("SELECT id FROM seats WHERE event_id = %s AND row_number = 500 AND seat_number = 200", event_id)
    assert web.reserve(new_user(), str(event_id), str(seat)).status == 201
    assert_books_agree(str(event_id))


@pytest.mark.long
def test_a_seat_that_is_sold_while_the_task_waits_keeps_its_layout(
    web: Api, world: Database, background: BackgroundProcesses, admin_pages: AdminPages
) -> None:
    """The page says why nothing has changed."""
    from seats.services import generate_seats

    section = {**HUNDRED_THOUSAND, "rows": 60}
    event_id, other = new_event(world, section), new_event(world, LARGEST)
    assert generate_seats(event_id=event_id) == 12_000
    layout = layout_of(world, event_id)
    admin_pages.change_event(event_id, layout=layout_of(world, other))
    seat = world.one("SELECT id FROM seats WHERE event_id = %s AND row_number = 1 AND seat_number = 1", event_id)
    assert web.reserve(new_user(), str(event_id), str(seat)).status == 201
    background.start("worker")
    page = f"/admin/events/event/{event_id}/change/"
    wait_until(lambda: "판매된 좌석이 있어" in admin_pages.client.get(page).content.decode(), seconds=30)
    assert (layout_of(world, event_id), counted(world, event_id)) == (layout, {"S": 12_000})


@pytest.mark.long
@pytest.mark.parametrize(
    "section",
    [
        {"name": "R", "rows": 1, "seatsPerRow": 200_000, "price": 1, "startRow": 1},
        {"name": "C", "rows": 200_000, "seatsPerRow": 1, "price": 1, "startRow": 1},
    ],
    ids=["one row", "one seat in a row"],
)
def test_the_largest_layouts_of_any_shape_get_their_seats(world: Database, section: dict, redis: object) -> None:
    from seats.services import generate_seats

    event_id = new_event(world, section)
    started = time.monotonic()
    assert generate_seats(event_id=event_id) == 200_000
    print(f"200,000 seats in {time.monotonic() - started:.1f} s")
    assert counted(world, event_id) == {section["name"]: 200_000}
    assert generate_seats(event_id=event_id) == 0


@pytest.mark.long
def test_an_event_whose_seats_cannot_be_generated_does_not_stop_the_others(
    world: Database, database_url: str, redis: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Here a trigger, which makes the first event's statement take longer than it may."""
    from kernel.tasks.batches import failures
    from seats.services import generate_missing_seats, generating

    bad, good = sorted(new_event(world, {**LARGEST, "rows": 1}) for _ in range(2))
    world.rows(
        "CREATE FUNCTION slow_insert() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$"
    )
    world.rows(
        f"CREATE TRIGGER slow BEFORE INSERT ON seats FOR EACH ROW WHEN (NEW.event_id = '{bad}')"
        " EXECUTE FUNCTION slow_insert()"
    )
    before = failures.labels(batch="generate_missing_seats")._value.get()
    try:
        assert generate_missing_seats() == 200
        assert counted(world, good) == {"L": 200}
        assert str(bad) in caplog.text
        assert failures.labels(batch="generate_missing_seats")._value.get() == before + 1
        assert generate_missing_seats() == 0  # the bad one is left alone for a minute
        assert failures.labels(batch="generate_missing_seats")._value.get() == before + 1
    finally:
        world.rows("DROP FUNCTION slow_insert CASCADE")
        generating._batch._retry_at.clear()
    done = manage("generate_seats", DATABASE_URL=database_url)
    assert (done.returncode, counted(world, bad)) == (0, {"L": 200}), done.stderr
