"""Celery and beat as real processes: statuses on the second, holds given back, and what happens when one of them dies."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from devtools.embedded import Servers
from tests.support.background import BackgroundProcesses, kill
from tests.support.harness import (
    HALL,
    INTERNAL,
    STADIUM,
    STANDING,
    STANDING_A,
    STANDING_B,
    THEATRE,
    Api,
    Database,
    assert_books_agree,
    at_once,
    new_user,
    running_web,
    seat,
    wait_until,
)
from tests.support.seat_layouts import SECTION, new_event

pytestmark = pytest.mark.slow

SEAT = seat(1, 1)


@pytest.fixture
def running(background: BackgroundProcesses, redis) -> BackgroundProcesses:
    """One worker and one beat, at work."""
    background.start("worker")
    background.start("beat")
    at_work(redis)
    return background


def at_work(redis) -> None:
    """Waits until a sweep has run: it takes the touched events away."""
    redis.sadd("events:dirty", HALL)
    wait_until(lambda: not redis.exists("events:dirty"), seconds=30)


class Listener:
    """Everything that is published about events."""

    def __init__(self, redis) -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._pubsub.psubscribe("live:*")
        self._pubsub.get_message(timeout=1)

    def messages(self) -> list[dict]:
        found = []
        while (published := self._pubsub.get_message(timeout=0.2)) is not None:
            payload = json.loads(published["data"])
            for n, message in enumerate(payload["messages"]):
                if "version" in payload:
                    message["version"] = payload["version"] - len(payload["messages"]) + 1 + n
                found.append(message)
        return found


def status(world: Database, event_id: object = HALL) -> str:
    return world.one("SELECT status FROM events WHERE id = %s", event_id)


def hold_seats(world: Database, count: int) -> None:
    """So many seats of the stadium, each held by a reservation that is over; written as another writer would."""
    world.rows(
        """
        WITH chosen AS (
            SELECT id, price, row_number() OVER () AS n FROM seats WHERE event_id = %s AND status = 'available' LIMIT %s
        ), made AS (
            INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount, expires_at)
            SELECT ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(), %s, 'DUE' || n, price,
                   now() - interval '1 min' FROM chosen
        ), items AS (
            INSERT INTO reservation_items (reservation_id, seat_id, unit_price, subtotal, is_live)
            SELECT ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, id, price, price, true FROM chosen
        )
        UPDATE seats SET status = 'locked' FROM chosen WHERE seats.id = chosen.id
        """,
        STADIUM,
        count,
        STADIUM,
    )


def hold_tickets(world: Database, count: int) -> None:
    """The same for single tickets of one type, of which there are `count`, all held."""
    world.rows("UPDATE ticket_types SET total_quantity = %s, available_quantity = 0 WHERE id = %s", count, STANDING_A)
    world.rows("UPDATE reservations SET status = 'cancelled' WHERE event_id = %s AND status = 'pending'", STANDING)
    world.rows(
        """
        WITH made AS (
            INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, held_until)
            SELECT gen_random_uuid(), %s, 'DUET' || n, 120000, now() - interval '1 min' FROM generate_series(1, %s) n
            RETURNING id
        )
        INSERT INTO reservation_items (reservation_id, ticket_type_id, unit_price, subtotal, is_live)
        SELECT id, %s, 120000, 120000, true FROM made
        """,
        STANDING,
        count,
        STANDING_A,
    )


def due(world: Database) -> int:
    return world.one("SELECT count(*) FROM reservations WHERE status = 'pending' AND deadline <= now()")


# --- Statuses ---------------------------------------------------------------------------------------------------------


# Seconds after which a status has changed if its moment is awaited; the sweep, which knows no moment, comes each minute.
# On a machine of its own it is a fraction of one.
PROMPT = 5


def moment_of(world: Database, event_id: object, wanted: str) -> float:
    """Seconds between the moment at which the status was due and the one at which it had changed."""
    column = "sale_start_date" if wanted == "on_sale" else "sale_end_date"
    wait_until(lambda: status(world, event_id) == wanted, seconds=15, every=0.02)
    return world.one(f"SELECT extract(epoch FROM updated_at - {column})::float FROM events WHERE id = %s", event_id)


@pytest.mark.long
def test_a_sale_opens_and_closes_on_the_second(web: Api, world: Database, running: BackgroundProcesses, redis) -> None:
    listener = Listener(redis)
    world.rows("UPDATE events SET status = 'upcoming', sale_start_date = now() + interval '3 s' WHERE id = %s", HALL)
    assert web.get(f"/events/{HALL}").json["event"]["status"] == "upcoming"
    assert web.post("/internal/event-status/reschedule", headers=INTERNAL).status == 200
    assert 0 <= moment_of(world, HALL, "on_sale") < PROMPT
    wait_until(lambda: web.get(f"/events/{HALL}").json["event"]["status"] == "on_sale", seconds=PROMPT)
    assert HALL in [event["id"] for event in web.get("/events?status=on_sale").json["events"]]

    # another date, as another service writes it
    world.rows("UPDATE events SET sale_end_date = now() + interval '2 s' WHERE id = %s", HALL)
    assert web.post("/internal/event-status/reschedule", headers=INTERNAL).status == 200
    assert 0 <= moment_of(world, HALL, "ended") < PROMPT
    changes = [m["status"] for m in listener.messages() if m["type"] == "event-status-changed" and m["eventId"] == HALL]
    assert changes == ["on_sale", "ended"]


@pytest.mark.long
def test_the_admin_moves_a_date(web: Api, world: Database, running: BackgroundProcesses, admin_pages) -> None:
    world.rows("UPDATE events SET status = 'upcoming', sale_start_date = now() + interval '1 day' WHERE id = %s", HALL)
    admin_pages.change_event(HALL, sale_start_date=2)
    assert -0.5 <= moment_of(world, HALL, "on_sale") < PROMPT  # the form has whole seconds


@pytest.mark.long
def test_sold_out_and_back(web: Api, world: Database, running: BackgroundProcesses) -> None:
    world.rows("UPDATE ticket_types SET available_quantity = 0 WHERE event_id = %s AND id <> %s", STANDING, STANDING_B)
    user = new_user()
    reservation = web.buy(user, STANDING, **{STANDING_B: 3}).json["reservation"]["id"]
    wait_until(lambda: status(world, STANDING) == "sold_out", seconds=3)
    wait_until(lambda: web.get(f"/events/{STANDING}").json["event"]["status"] == "sold_out", seconds=PROMPT)
    web.cancel(user, reservation)
    wait_until(lambda: status(world, STANDING) == "on_sale", seconds=3)


@pytest.mark.parametrize(
    ("change", "becomes"),
    [
        ("status = 'upcoming', sale_start_date = now() - interval '1 s'", "on_sale"),
        ("status = 'upcoming', sale_start_date = now() + interval '1 h'", "upcoming"),
        ("status = 'on_sale', sale_start_date = now() + interval '1 h'", "upcoming"),
        ("status = 'sold_out', sale_start_date = now() + interval '1 h'", "upcoming"),
        ("status = 'on_sale', sale_end_date = now()", "ended"),
        ("status = 'on_sale', event_date = now()", "ended"),
        ("status = 'sold_out', sale_end_date = now()", "ended"),
        ("status = 'sold_out'", "on_sale"),
        ("status = 'cancelled', sale_end_date = now()", "cancelled"),
        ("status = 'ended'", "on_sale"),
        ("status = 'ended', sale_start_date = now() + interval '1 h'", "upcoming"),
        ("status = 'ended', event_date = now()", "ended"),
        ("status = 'upcoming', event_date = now()", "ended"),
        ("status = 'cancelled'", "cancelled"),
    ],
)
def test_statuses_by_the_clock(world: Database, change: str, becomes: str) -> None:
    from seats.services import update_statuses

    world.rows(f"UPDATE events SET {change} WHERE id = %s", HALL)
    update_statuses()
    assert status(world) == becomes
    assert update_statuses() == 0


# --- Giving back ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_ten_thousand_expired_holds_while_twenty_buy(
    web: Api, world: Database, background: BackgroundProcesses, redis
) -> None:
    """Prints how long it took; what counts here is that everything adds up."""
    hold_seats(world, 4000)
    hold_tickets(world, 6000)
    world.settle()
    assert due(world) == 10_000
    bought = Counter()
    stop = threading.Event()

    def buy(n: int) -> None:
        while not stop.is_set():
            user = new_user()
            by_type = web.buy(user, STANDING, **{STANDING_A: 1}).status
            by_seat = web.reserve(user, THEATRE, seat(7, 1 + 25 * n + bought[n])).status
            bought[n] += by_seat == 201
            bought["tickets"] += by_type == 201
            if bought[n] == 25:
                return

    background.start("worker")
    at_work_without_beat(world)
    buyers = [threading.Thread(target=buy, args=(n,)) for n in range(20)]
    for buyer in buyers:
        buyer.start()
    background.start("beat")
    wait_until(lambda: due(world) < 10_000, seconds=30, every=0.01)
    started = time.monotonic()
    wait_until(lambda: due(world) == 0, seconds=60, every=0.02)
    print(f"10,000 expired holds given back in {time.monotonic() - started:.1f} s")
    stop.set()
    for buyer in buyers:
        buyer.join()
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status = 'available'", STADIUM) == 4900
    live = world.one("SELECT count(*) FROM reservation_items WHERE ticket_type_id = %s AND is_live", STANDING_A)
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_A) == 6000 - live
    assert live == bought["tickets"]
    locked = world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status = 'locked'", THEATRE)
    assert locked == sum(bought[n] for n in range(20))
    assert_books_agree(STANDING, THEATRE, STADIUM)


def at_work_without_beat(world: Database) -> None:
    """Waits for the worker's first connection."""
    time.sleep(4)


def assert_given_back_once(world: Database, seats: int, tickets: int) -> None:
    assert due(world) == 0
    assert world.one("SELECT count(*) FROM reservations WHERE status = 'expired'") == seats + tickets
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status = 'available'", STADIUM) == 4900
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_A) == tickets
    assert world.one("SELECT total_quantity FROM ticket_types WHERE id = %s", STANDING_A) == tickets


@pytest.mark.long
def test_killed_in_the_middle_of_a_sweep(world: Database, background: BackgroundProcesses, redis) -> None:
    hold_seats(world, 3000)
    hold_tickets(world, 3000)
    world.settle()
    background.start("beat")
    for _ in range(2):
        worker = background.start("worker")
        before = due(world)
        wait_until(lambda before=before: due(world) < before, seconds=30, every=0.01)
        kill(worker)
        assert due(world) > 0
    background.start("worker")
    wait_until(lambda: due(world) == 0, seconds=60)
    assert_given_back_once(world, 3000, 3000)
    assert_books_agree(STANDING, STADIUM)


@pytest.mark.long
def test_beat_is_killed(world: Database, background: BackgroundProcesses, redis) -> None:
    background.start("worker")
    beat = background.start("beat")
    at_work(redis)
    kill(beat)
    hold_seats(world, 100)
    hold_tickets(world, 100)
    time.sleep(2)
    assert due(world) == 200  # nobody gives the word; buyers would take them over
    background.start("beat")
    wait_until(lambda: due(world) == 0, seconds=30)
    assert_given_back_once(world, 100, 100)


@pytest.mark.long
def test_redis_is_killed_for_five_seconds(
    web: Api, world: Database, running: BackgroundProcesses, redis, redis_server: Servers
) -> None:
    os.kill(redis_server.redis.pid(), signal.SIGKILL)
    hold_seats(world, 500)
    hold_tickets(world, 500)
    time.sleep(5)
    redis_server.start_redis()  # and it has forgotten everything
    wait_until(lambda: due(world) == 0, seconds=40)
    assert_given_back_once(world, 500, 500)
    assert web.reserve(new_user(), HALL, SEAT).status == 201


@pytest.mark.long
def test_two_workers_and_two_beats_do_nothing_twice(
    web: Api, world: Database, background: BackgroundProcesses, redis
) -> None:
    listener = Listener(redis)
    for process in ("worker", "worker", "beat", "beat"):
        background.start(process)
    at_work(redis)
    seconds = float(os.environ.get("CLOCKWORK_SECONDS", "6"))
    end, rounds = time.monotonic() + seconds, 0
    hold_tickets(world, 200)
    told: Counter[str] = Counter()

    def released() -> int:
        """Of a seat that is taken again before that was told, it is left out."""
        told.update(message["type"] for message in listener.messages() if message.get("seatId") == SEAT)
        return told["seat-released"]

    while time.monotonic() < end:
        reservation = web.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
        world.rows("UPDATE reservations SET expires_at = now() WHERE id = %s", reservation)
        rounds += 1
        wait_until(lambda rounds=rounds: released() >= rounds, seconds=10)
    wait_until(lambda: due(world) == 0, seconds=10)
    time.sleep(1)
    released()
    assert told == {"seat-locked": rounds, "seat-released": rounds}
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_A) == 200
    assert world.one("SELECT count(*) FROM reservations WHERE status = 'expired'") == 200 + rounds


@pytest.mark.long
def test_payment_against_expiry_at_the_very_edge(
    world: Database, running: BackgroundProcesses, redis, database_url: str, tmp_path: Path
) -> None:
    """Each trial ends either paid and sold, or expired and free; and nobody is told that a sold seat is free.

    Here no payment comes late; `test_payment_at_the_edge` has those.
    """
    with running_web(tmp_path / "web", DATABASE_URL=database_url, LATE_PAYMENT_SECONDS="0") as web:
        pay_at_the_very_edge(web, world, redis)


def pay_at_the_very_edge(web: Api, world: Database, redis) -> None:
    trials = int(os.environ.get("EDGE_TRIALS", "200"))
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = world.one(deadlocks)
    listener = Listener(redis)
    answers: dict[str, int] = {}
    for batch in range(trials // 10):
        held = [web.reserve(new_user(), THEATRE, seat(7, 1 + 10 * batch + n)).json["reservation"] for n in range(10)]
        ids = [reservation["id"] for reservation in held]
        world.rows("UPDATE reservations SET expires_at = now() + interval '0.4 s' WHERE id = ANY(%s::uuid[])", ids)
        time.sleep(0.38)

        # spread over the edge: some just before, some just after
        def pay(n: int, held=held):
            time.sleep(0.005 * n)
            return web.confirm(held[n]["id"], held[n]["totalAmount"])

        paid = at_once([lambda n=n: pay(n) for n in range(10)])
        answers |= {reservation: answer.status for reservation, answer in zip(ids, paid, strict=True)}
    wait_until(lambda: due(world) == 0, seconds=10)
    ends = world.rows(
        "SELECT r.id::text AS reservation, r.status, r.payment_status, s.status AS seat, s.id::text FROM reservations r"
        " JOIN reservation_items i ON i.reservation_id = r.id JOIN seats s ON s.id = i.seat_id WHERE r.event_id = %s",
        THEATRE,
    )
    as_answered = {200: ("confirmed", "completed", "sold"), 409: ("expired", "failed", "available")}
    assert {end["reservation"]: (end["status"], end["payment_status"], end["seat"]) for end in ends} == {
        reservation: as_answered[answer] for reservation, answer in answers.items()
    }
    assert set(answers.values()) == {200, 409}  # the edge was met
    released = {m["seatId"] for m in listener.messages() if m["type"] == "seat-released"}
    assert released == {end["id"] for end in ends if end["seat"] == "available"}
    time.sleep(1)
    assert world.one(deadlocks) == before


def test_a_sweep_goes_on_until_nothing_is_due(world: Database, redis, monkeypatch) -> None:
    from reservations.services import sweep, sweeping

    monkeypatch.setattr(sweeping, "BATCH", 5)
    hold_seats(world, 12)
    assert sweep() == {"expired": 12}
    assert due(world) == 0


def test_one_bad_row_does_not_stop_the_others(world: Database, redis, caplog: pytest.LogCaptureFixture) -> None:
    from reservations.services import sweep, sweeping

    hold_seats(world, 20)
    bad = "4e500000-0000-4000-8000-000000000008"  # two ticket types of which one can hold no more
    world.rows(
        "UPDATE ticket_types SET total_quantity = 2147483647, available_quantity = 2147483647 WHERE id = %s", STANDING_B
    )
    world.rows("UPDATE reservations SET held_until = now() - interval '1 h' WHERE id = %s", bad)
    assert due(world) == 21
    assert sweep() == {"expired": 20}
    assert due(world) == 1
    assert bad in caplog.text
    caplog.clear()
    assert sweep() == {}
    assert not caplog.records  # left alone for a while
    world.rows("UPDATE ticket_types SET total_quantity = 50, available_quantity = 3 WHERE id = %s", STANDING_B)
    sweeping._batch._retry_at.clear()  # its minute is over
    assert sweep() == {"expired": 1}
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_B) == 4


def make_fail(world: Database, table: str, row_id: str) -> None:
    """From now on no statement can change the row: it takes longer than it may, as if somebody were in the way."""
    world.rows(
        "CREATE OR REPLACE FUNCTION fail_slowly() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$"
    )
    world.rows(
        f"CREATE TRIGGER fails BEFORE UPDATE ON {table} FOR EACH ROW WHEN (OLD.id = '{row_id}')"
        " EXECUTE FUNCTION fail_slowly()"
    )


@pytest.fixture
def poisoned(world: Database) -> Iterator[Database]:
    """Rows may be made to fail."""
    yield world
    world.rows("DROP FUNCTION IF EXISTS fail_slowly CASCADE")


def passed_over(batch: str) -> float:
    from kernel.tasks.batches import failures

    return failures.labels(batch=batch)._value.get()


@pytest.mark.long
def test_a_reservation_whose_statement_times_out_does_not_stop_the_sweep(
    poisoned: Database, redis, caplog: pytest.LogCaptureFixture
) -> None:
    from reservations.services import sweep, sweeping

    hold_seats(poisoned, 20)
    bad = "00000000-0000-4000-9000-000000000007"
    make_fail(poisoned, "reservations", bad)
    before = passed_over("sweep")
    try:
        sweep()
        sweep()  # the rest of what the first could not do in its time
        assert due(poisoned) == 1
        assert bad in caplog.text
        assert passed_over("sweep") == before + 1
    finally:
        sweeping._batch._retry_at.clear()


@pytest.mark.long
def test_an_event_whose_status_cannot_be_written_does_not_stop_the_others(poisoned: Database, redis) -> None:
    from seats.services import statuses, update_statuses

    poisoned.rows("UPDATE events SET sale_end_date = now() WHERE id IN (%s, %s)", HALL, STANDING)
    make_fail(poisoned, "events", HALL)
    before = passed_over("update_statuses")
    try:
        assert update_statuses() >= 1
        assert (status(poisoned, HALL), status(poisoned, STANDING)) == ("on_sale", "ended")
        assert passed_over("update_statuses") == before + 1
        started = time.monotonic()
        update_statuses()  # leaves it out for a minute
        assert time.monotonic() < started + 2
    finally:
        statuses._batch._retry_at.clear()


@pytest.mark.long
def test_a_reservation_that_cannot_be_cancelled_does_not_stop_its_event_from_being_cancelled(
    poisoned: Database, redis
) -> None:
    from reservations.services import cancel_event, cancelling, release_cancelled_events

    hold_seats(poisoned, 20)
    bad = "00000000-0000-4000-9000-000000000007"
    make_fail(poisoned, "reservations", bad)
    before = passed_over("release_cancelled_events")
    try:
        assert cancel_event(event_id=UUID(STADIUM)) == 19
        live = "SELECT id::text FROM reservations WHERE event_id = %s AND status IN ('pending', 'confirmed')"
        assert [row["id"] for row in poisoned.rows(live, STADIUM)] == [bad]
        assert passed_over("release_cancelled_events") == before + 1
    finally:
        cancelling._batch._retry_at.clear()
    poisoned.rows("DROP FUNCTION fail_slowly CASCADE")
    assert release_cancelled_events() >= 1
    assert poisoned.rows(live, STADIUM) == []


def test_a_reservation_that_is_being_paid_is_left_alone(web: Api, world: Database) -> None:
    from reservations.services import sweep

    reservation = web.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    world.expire(reservation)
    payment = Database(world.url)
    payment.rows("BEGIN")
    payment.rows("SELECT FROM reservations WHERE id = %s FOR UPDATE", reservation)
    assert sweep() == {}
    payment.close()
    assert sweep() == {"expired": 1}


# --- Seats and slow work ----------------------------------------------------------------------------------------------


def test_a_saved_event_gets_its_seats(world: Database, running: BackgroundProcesses, admin_pages) -> None:
    event_id = new_event(world)
    layout = world.one("SELECT seat_layout_id FROM events WHERE id = %s", event_id)
    world.rows("UPDATE seat_layouts SET layout_config = %s WHERE id = %s", json.dumps({"sections": [SECTION]}), layout)
    admin_pages.change_event(event_id, sale_start_date=-60)
    count = "SELECT count(*) FROM seats WHERE event_id = %s"
    wait_until(lambda: world.one(count, event_id) == 10, seconds=5)


def test_the_sweep_finds_events_without_seats(world: Database, redis) -> None:
    from seats.services import generate_missing_seats

    good, bad = new_event(world, SECTION), new_event(world, {**SECTION, "rows": 0})
    assert generate_missing_seats() == 10
    assert generate_missing_seats() == 0
    assert world.one("SELECT count(*) FROM seats WHERE event_id IN (%s, %s)", good, bad) == 10


def test_another_layout_regenerates_unless_a_seat_is_taken(web: Api, world: Database, redis) -> None:
    from reservations.errors import LayoutInUse
    from reservations.services import change_layout

    theatre = UUID("1a400000-0000-4000-8000-000000000002")
    event_id = new_event(world, SECTION)
    from seats.services import generate_seats

    generate_seats(event_id=event_id)
    user = new_user()
    first = world.one("SELECT id::text FROM seats WHERE event_id = %s LIMIT 1", event_id)
    reservation = web.reserve(user, str(event_id), first).json["reservation"]["id"]
    before = world.everything()
    with pytest.raises(LayoutInUse):
        change_layout(event_id=event_id, layout_id=theatre)
    assert world.everything() == before
    web.cancel(user, reservation)
    change_layout(event_id=event_id, layout_id=theatre)
    assert len(web.get(f"/seats/events/{event_id}").json["seats"]) == 600
    shown = web.get(f"/reservations/{reservation}", user=user).json["reservation"]
    assert shown["status"] == "cancelled"


def test_a_layout_in_use_can_not_be_edited(world: Database, admin_pages) -> None:
    small_hall = "1a400000-0000-4000-8000-000000000001"
    page = admin_pages.client.get(f"/admin/events/seatlayout/{small_hall}/change/")
    assert page.status_code == 200
    assert list(page.context["adminform"].form.fields) == ["name", "description", "reason"]
    bad = {"name": "x", "description": "", "layout_config": '{"sections": []}'}
    refused = admin_pages.client.post("/admin/events/seatlayout/add/", bad)
    assert "좌석 배치에 구역이 없습니다." in refused.content.decode()


def test_every_list_of_the_admin_opens(world: Database, admin_pages) -> None:
    for path in ("events/event", "events/seatlayout", "events/keywordmapping", "reservations/reservation"):
        assert admin_pages.client.get(f"/admin/{path}/?q=1").status_code == 200, path
    reservation = "4e500000-0000-4000-8000-000000000001"
    page = admin_pages.client.get(f"/admin/reservations/reservation/{reservation}/change/")
    assert page.status_code == 200
    assert admin_pages.client.post(f"/admin/reservations/reservation/{reservation}/change/", {}).status_code == 403


@pytest.mark.long
def test_slow_work_does_not_delay_the_ticks(world: Database, running: BackgroundProcesses, redis) -> None:
    from kernel.tasks.enqueue import enqueue

    event_id = new_event(world, SECTION)
    somebody = Database(world.url)
    somebody.rows("BEGIN")
    somebody.rows("SELECT FROM events WHERE id = %s FOR UPDATE", event_id)
    try:
        for _ in range(3):
            enqueue("seats.tasks.generate_seats_of", event_id=str(event_id))
        for _ in range(2):
            time.sleep(0.5)
            started = time.monotonic()
            at_work(redis)
            assert time.monotonic() - started < 2.5
        assert world.one("SELECT count(*) FROM seats WHERE event_id = %s", event_id) == 0
    finally:
        somebody.close()


# --- Cancelling an event ----------------------------------------------------------------------------------------------


def test_a_cancelled_event_gives_everything_back(web: Api, world: Database, redis) -> None:
    listener = Listener(redis)
    held = web.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    paid = web.reserve(new_user(), HALL, seat(1, 2)).json["reservation"]["id"]
    assert web.confirm(paid, 150_000, "pay-x").status == 200
    answer = web.post(f"/internal/events/{HALL}/cancel", headers=INTERNAL)
    assert (answer.status, answer.json["cancelledReservations"]) == (200, 5)  # with three of the world
    assert status(world) == "cancelled"
    assert world.one("SELECT count(*) FROM seats WHERE event_id = %s AND status <> 'available'", HALL) == 0
    columns = "SELECT status, payment_status, refund_due_at IS NOT NULL AS due FROM reservations WHERE id = %s"
    assert world.rows(columns, held) == [{"status": "cancelled", "payment_status": "refunded", "due": False}]
    assert world.rows(columns, paid) == [{"status": "cancelled", "payment_status": "completed", "due": True}]
    told = Counter(message["type"] for message in listener.messages())
    assert told["event-status-changed"] == 1
    assert told["seat-released"] == 5
    assert web.reserve(new_user(), HALL, SEAT).status == 400
    assert web.post(f"/internal/events/{HALL}/cancel", headers=INTERNAL).json["cancelledReservations"] == 0
    assert web.refund(paid).status == 200
    assert world.rows(columns, paid) == [{"status": "cancelled", "payment_status": "refunded", "due": False}]
    assert web.refund(paid).status == 200
    assert web.post(f"/internal/events/{new_user()}/cancel", headers=INTERNAL).status == 404
    assert web.post(f"/internal/events/{HALL}/cancel").status == 403


def test_a_sale_that_slips_through_is_found_later(world: Database, redis) -> None:
    from reservations.services import release_cancelled_events

    world.rows("UPDATE events SET status = 'cancelled' WHERE id = %s", HALL)
    assert release_cancelled_events() == 3
    assert release_cancelled_events() == 0


# --- The books --------------------------------------------------------------------------------------------------------


def test_a_seat_that_is_named_twice_is_told_once(web: Api, world: Database, redis) -> None:
    listener = Listener(redis)
    sale = web.reserve(new_user(), HALL, SEAT, SEAT)
    assert sale.status == 201
    assert [shown["id"] for shown in sale.json["reservation"]["seats"]] == [SEAT]
    assert [(told["type"], told["seatId"]) for told in listener.messages()] == [("seat-locked", SEAT)]


def test_the_funnel_is_counted_by_the_operations(web: Api, world: Database, redis) -> None:
    def counted(event_id: str) -> dict[str, str]:
        return redis.hgetall(f"funnel:{event_id}")

    time.sleep(1.1)
    web.get(f"/events/{THEATRE}")  # writes what was viewed before this test, too
    redis.delete(*redis.keys("funnel:*"))
    for event_id in (HALL, STANDING):
        time.sleep(1.1)  # views are told once a second
        web.get(f"/events/{event_id}")
    assert web.get(f"/events/{new_user()}").status == 404
    seats = [web.reserve(new_user(), HALL, seat(1, n)).json["reservation"]["id"] for n in (1, 2)]
    tickets = web.buy(new_user(), STANDING, **{STANDING_A: 2}).json["reservation"]["id"]
    assert web.reserve(new_user(), HALL, SEAT).status == 400
    assert web.confirm(seats[0], 150_000, "p1").status == web.confirm(tickets, 240_000, "p2").status == 200
    assert web.confirm(seats[0], 150_000, "p1").status == 200
    assert counted(HALL) == {"viewed": "1", "reserved": "2", "paid": "1"}
    assert counted(STANDING) == {"viewed": "1", "reserved": "1", "paid": "1"}
    scraped = web.get("/metrics").json.decode()
    assert f'conversion_funnel_rate{{event_id="{HALL}",stage="paid"}} 0.5' in scraped
    assert scraped.count("conversion_funnel_rate{") == 4
