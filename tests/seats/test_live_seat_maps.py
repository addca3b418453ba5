"""Seat maps over WebSockets: everybody who looks sees every change, on any process, whatever happens to Redis."""

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import (
    HALL,
    INTERNAL,
    STANDING,
    STANDING_A,
    STANDING_B,
    THEATRE,
    UPCOMING,
    Api,
    Database,
    at_once,
    new_user,
    running_web,
    seat,
    wait_until,
)
from tests.support.live import Realtime, Viewer, running_realtime, seat_map

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes(database_url: str, logs: Path) -> Iterator[list[Realtime]]:
    """Two of them, as on two machines."""
    with (
        running_realtime(logs / "realtime-1.log", DATABASE_URL=database_url) as first,
        running_realtime(logs / "realtime-2.log", DATABASE_URL=database_url) as second,
    ):
        yield [first, second]


@pytest.fixture
def realtime(processes: list[Realtime]) -> Iterator[Realtime]:
    yield processes[0]
    for process in processes:
        process.close_all_and_read_log()


# --- Seats ------------------------------------------------------------------------------------------------------------


def test_a_change_reaches_sockets_on_every_process(
    processes: list[Realtime], realtime: Realtime, web: Api, world: Database
) -> None:
    from reservations import services

    sockets = [process.seats(HALL) for process in processes]
    version = sockets[0].first("hello")["version"]
    assert [socket.first("hello") for socket in sockets] == [{"type": "hello", "eventId": HALL, "version": version}] * 2
    assert seat_map(web, HALL)[0] == version

    delays: dict[str, list[float]] = {}

    def heard_by_all(what: str, kind: str, act: Callable[..., Any], *args: Any) -> Any:
        counts = [len(socket.of_type(kind)) for socket in sockets]
        before = time.time()
        done = act(*args)
        for socket, count in zip(sockets, counts, strict=True):
            socket.wait(lambda heard, count=count: len(heard.of_type(kind)) == count + 1)
            delays.setdefault(what, []).append(socket.times[-1] - before)
        return done

    for place in range(1, 16):
        user = new_user()
        answer = heard_by_all("reserve", "seat-locked", web.reserve, user, HALL, seat(1, place))
        reserved = answer.json["reservation"]
        match place % 3:
            case 0:
                heard_by_all("cancel", "seat-released", web.cancel, user, reserved["id"])
            case 1:
                heard_by_all("pay", "seat-sold", web.confirm, reserved["id"], reserved["totalAmount"])
            case 2:
                world.expire(reserved["id"])
                heard_by_all("expire", "seat-released", services.sweep)

    medians = {what: statistics.median(taken) for what, taken in delays.items()}
    print("until two processes tell, ms:", {what: round(median * 1000, 1) for what, median in medians.items()})
    assert max(medians.values()) < 0.1
    for socket in sockets:
        heard = socket.of_type("seat-locked")
        assert [message["seatId"] for message in heard] == [seat(1, place) for place in range(1, 16)]
        numbered = [message for message in socket.messages if message["type"].startswith("seat-")]
        assert [message["version"] for message in numbered] == list(range(version + 1, version + 31))
        assert {message["status"] for message in heard} == {"locked"}
        assert set(heard[0]) == {"type", "eventId", "seatId", "status", "version", "timestamp"}
        assert next(iter(heard[0])) == "type"


@pytest.mark.long
def test_an_idle_socket_hears_the_next_change(
    processes: list[Realtime], realtime: Realtime, web: Api, world: Database
) -> None:
    heard = processes[0].seats(HALL)
    heard.first("hello")
    left = processes[1].seats(HALL)
    left.first("hello")
    left.close()
    time.sleep(8)  # longer than redis-py's own time-out for reading
    back = processes[1].seats(HALL)  # where nothing was subscribed for a while
    back.first("hello")

    web.reserve(new_user(), HALL, seat(1, 1))

    for socket in (heard, back):
        socket.first("seat-locked", seconds=2)
        assert len(socket.messages) == 2


@pytest.mark.long
def test_a_socket_that_is_idle_for_a_minute_stays_open(
    processes: list[Realtime], realtime: Realtime, web: Api, world: Database
) -> None:
    """Servers ping every 20 s, in the protocol's own way: a client has nothing to do."""
    idle = [process.seats(HALL) for process in processes]
    for socket in idle:
        socket.first("hello")
    time.sleep(62)
    assert [socket.code for socket in idle] == [None, None]
    assert web.reserve(new_user(), HALL, seat(1, 1)).status == 201
    for socket in idle:
        socket.first("seat-locked")
        assert len(socket.messages) == 2


def test_several_changes_of_one_moment_share_a_frame(realtime: Realtime, web: Api, world: Database) -> None:
    socket = realtime.seats(HALL)
    version = socket.first("hello")["version"]

    assert web.reserve(new_user(), HALL, seat(1, 1), seat(1, 2), seat(1, 3)).status == 201

    socket.wait(lambda heard: len(heard.messages) == 4)
    assert [frame["type"] for frame in socket.frames] == ["hello", "batch"]
    assert [message["version"] for message in socket.messages[1:]] == [version + 1, version + 2, version + 3]


def test_what_is_changed_by_every_operation_is_what_a_snapshot_shows(
    realtime: Realtime, web: Api, world: Database
) -> None:
    from reservations import services
    from seats.services import update_statuses

    hall, standing = Viewer(web, realtime, HALL), Viewer(web, realtime, STANDING)
    chance = random.Random(5)
    held: list[tuple[str, str, int]] = []
    paid: list[tuple[str, str]] = []

    def reserve() -> None:
        user, seats = new_user(), [seat(1, place) for place in chance.sample(range(1, 21), chance.randint(1, 3))]
        answer = web.reserve(user, HALL, *seats)
        if answer.status == 201:
            found = answer.json["reservation"]
            held.append((user, found["id"], found["totalAmount"]))

    def buy() -> None:
        user, kind = new_user(), chance.choice([STANDING_A, STANDING_B])
        answer = web.buy(user, STANDING, **{kind: chance.randint(1, 2)})
        if answer.status == 201:
            found = answer.json["reservation"]
            held.append((user, found["id"], found["totalAmount"]))

    def pick(some: list) -> tuple | None:
        return some.pop(chance.randrange(len(some))) if some else None

    def cancel() -> None:
        if mine := pick(held):
            assert web.cancel(mine[0], mine[1]).status == 200

    def pay() -> None:
        if mine := pick(held):
            assert web.confirm(mine[1], mine[2]).status == 200
            paid.append(mine[:2])

    def give_back() -> None:
        if mine := pick(paid):
            assert (web.cancel(*mine) if chance.random() < 0.5 else web.refund(mine[1])).status == 200

    def run_out() -> None:
        if mine := pick(held):
            world.expire(mine[1])
            assert services.expire_due(limit=500) == 1

    def take_over() -> None:
        if mine := pick(held):
            world.expire(mine[1])
            seats = [str(row["id"]) for row in world.rows(
                "SELECT seat_id AS id FROM reservation_items WHERE reservation_id = %s AND seat_id IS NOT NULL", mine[1]
            )]  # fmt: skip
            if not seats:
                services.expire_due(limit=500)
                return
            # A buyer who was refused the seat may have marked it as taken, for a second.
            wait_until(lambda: web.reserve(new_user(), HALL, seats[0]).status == 201, seconds=5)

    def status() -> None:
        update_statuses()
        services.sweep()

    operations = [reserve] * 5 + [buy] * 3 + [cancel, pay, pay, give_back, run_out, take_over, status]
    for step in range(150):
        chance.choice(operations)()
        if step % 30 == 29:
            wait_until(lambda: hall.is_right() and standing.is_right(), seconds=10)
    kinds = {message["type"] for viewer in (hall, standing) for message in viewer.heard.messages}
    assert kinds == {"hello", "seat-locked", "seat-released", "seat-sold", "ticket-updated"}
    assert (hall.fetches, standing.fetches) == (1, 1), "without any gap"

    # Everything at once
    assert web.post(f"/internal/events/{HALL}/cancel", headers=INTERNAL).status == 200
    wait_until(hall.is_right, seconds=10)
    assert hall.status == "cancelled"
    assert set(hall.seats.values()) == {"available"}
    assert hall.fetches == 1


def test_changes_of_one_place_are_told_in_the_order_in_which_they_happened(
    realtime: Realtime, web: Api, world: Database
) -> None:
    """A buyer who takes a place the moment it is free may be told before the one who gave it back."""
    hall, standing = Viewer(web, realtime, HALL), Viewer(web, realtime, STANDING)
    give_up = 0.0

    def take_and_give_back(number: int) -> int:
        taken = 0
        while time.monotonic() < give_up:
            user = new_user()
            if number % 2:
                answer = web.reserve(user, HALL, seat(1, 1 + number % 3))
            else:
                answer = web.buy(user, STANDING, **{STANDING_B: 1})
            if answer.status == 201:
                taken += 1
                web.cancel(user, answer.json["reservation"]["id"])
        return taken

    taken = 0
    for _ in range(12):  # only what is told last of a place shows
        give_up = time.monotonic() + 0.25
        taken += sum(at_once([lambda number=number: take_and_give_back(number) for number in range(24)]))
        wait_until(lambda: hall.is_right() and standing.is_right(), seconds=3)
    assert taken > 12


def test_two_changes_of_status_are_told_in_the_order_in_which_they_happened(
    realtime: Realtime, world: Database
) -> None:
    """The first change may be told second; and what is told again, since no reply came, is told once."""
    from seats import effects, services

    heard = realtime.seats(HALL)
    heard.first("hello")
    earlier, later = (world.one("SELECT nextval('change_number')") for _ in range(2))

    for _ in range(2):
        effects.status_was_changed(event_id=uuid.UUID(HALL), status="ended", change=later)
    effects.status_was_changed(event_id=uuid.UUID(HALL), status="sold_out", change=earlier)
    services.publish_stock(event_id=uuid.UUID(HALL), stock=[
        {"id": STANDING_A, "available_quantity": 1, "total_quantity": 2, "change": later + 1}
    ])  # fmt: skip

    heard.first("ticket-updated")  # so that nothing more is to come
    assert [message["status"] for message in heard.of_type("event-status-changed")] == ["ended"]


def test_a_sold_seat_is_told_as_the_map_shows_it_to_an_old_client(
    realtime: Realtime, database_url: str, logs: Path, world: Database
) -> None:
    old = {"SOLD_SEAT_WIRE_VALUE": "reserved", "DATABASE_URL": database_url, "WEB_WORKERS": "1"}
    with running_web(logs / "web-for-an-old-client.log", **old) as web:
        viewer = Viewer(web, realtime, HALL)
        reserved = web.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]
        assert web.confirm(reserved["id"], reserved["totalAmount"]).status == 200
        assert viewer.heard.first("seat-sold")["status"] == "reserved"
        wait_until(viewer.is_right, seconds=10)
        assert (viewer.seats[seat(1, 1)], viewer.fetches) == ("reserved", 1)


def test_another_layout_makes_viewers_fetch_again(realtime: Realtime, web: Api, world: Database) -> None:
    from reservations import services

    viewer = Viewer(web, realtime, UPCOMING)
    bigger = world.one("SELECT seat_layout_id FROM events WHERE id = %s", THEATRE)

    services.change_layout(event_id=uuid.UUID(UPCOMING), layout_id=bigger)

    wait_until(viewer.is_right, seconds=10)
    assert viewer.fetches > 1
    assert len(viewer.seats) == 600


def test_the_sale_opens_and_sells_out_before_everybodys_eyes(realtime: Realtime, web: Api, world: Database) -> None:
    from reservations import services

    world.rows(
        "UPDATE ticket_types SET available_quantity = least(1, available_quantity) WHERE event_id = %s", STANDING
    )
    viewer = Viewer(web, realtime, STANDING)
    user = new_user()
    sold = [web.buy(user, STANDING, **{kind: 1}) for kind, left in viewer.stock.items() if left]
    services.sweep()
    wait_until(lambda: viewer.is_right() and viewer.status == "sold_out", seconds=10)
    web.cancel(user, sold[0].json["reservation"]["id"])
    services.sweep()
    wait_until(lambda: viewer.is_right() and viewer.status == "on_sale", seconds=10)
