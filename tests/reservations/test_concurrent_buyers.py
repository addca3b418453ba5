"""Many at once. Each race has a negative control: with the guard taken away, here in the test, the race is seen."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from uuid import UUID, uuid4

import pytest

from devtools.embedded import Servers
from queueing.services import Visitor
from tests.support.harness import (
    HALL,
    MANY_TYPES,
    STANDING,
    STANDING_A,
    Answer,
    Api,
    Database,
    assert_books_agree,
    at_once,
    new_user,
    running_web,
    seat,
    wait_until,
)
from tests.support.interleaving import locked_row
from tests.support.one_sale import in_short

pytestmark = pytest.mark.slow

SEAT = seat(1, 1)
CROWD = 200
TRIALS = 20
IN_KOREAN = ("이미 예약된 좌석입니다. (VIP-1-1)", "다른 사용자가 선택 중인 좌석입니다. 잠시 후 다시 시도해주세요.")


def crowd_on_one_seat(api: Api, world: Database) -> list[Answer]:
    users = [new_user() for _ in range(CROWD)]
    return at_once([partial(api.reserve, user, HALL, SEAT) for user in users])


def free_everything(world: Database) -> None:
    world.rows("BEGIN")
    world.rows("UPDATE reservations SET status = 'cancelled' WHERE id IN"
               " (SELECT reservation_id FROM reservation_items WHERE seat_id = %s)", SEAT)  # fmt: skip
    world.rows("UPDATE seats SET status = 'available' WHERE id = %s", SEAT)
    world.rows("COMMIT")


def assert_one_winner(answers: list[Answer], world: Database) -> None:
    assert Counter(answer.status for answer in answers) == {201: 1, 400: CROWD - 1}
    assert {answer.json["message"] for answer in answers if answer.status == 400} <= set(IN_KOREAN)
    live = "SELECT count(*) FROM reservation_items WHERE seat_id = %s AND is_live"
    assert world.one(live, SEAT) == 1
    assert world.one("SELECT status FROM seats WHERE id = %s", SEAT) == "locked"


def test_of_200_buyers_of_one_seat_one_gets_it(web: Api, world: Database, redis) -> None:
    world.widen_waiting_rooms()
    for _ in range(TRIALS):
        assert_one_winner(crowd_on_one_seat(web, world), world)
        free_everything(world)
        redis.delete(f"rejected:{HALL}:{SEAT}")  # the service was not told that the seat is free


@pytest.mark.long
def test_the_same_without_redis(web: Api, world: Database, redis_server: Servers) -> None:
    world.turn_waiting_rooms_off()
    redis_server.stop_redis()
    for _ in range(TRIALS):
        assert_one_winner(crowd_on_one_seat(web, world), world)
        free_everything(world)


def test_the_crowd_stays_off_postgresql(web: Api, world: Database) -> None:
    """While one buyer's statement takes its time, everybody else is answered without asking PostgreSQL."""
    web.get("/events")  # closes the circuit breaker, should it be open from the test before
    answers: list[Answer] = []

    def reserve(user: str) -> None:
        answers.append(web.reserve(user, HALL, SEAT))

    with held_up(world):
        crowd = threading.Thread(target=lambda: at_once([partial(reserve, new_user()) for _ in range(CROWD)]))
        crowd.start()
        wait_until(lambda: len(answers) == CROWD - 1, seconds=4)
        assert statements_that_wait(world) == 1
    crowd.join()
    assert_one_winner(answers, world)
    assert Counter(answer.json["message"] for answer in answers if answer.status == 400) == {IN_KOREAN[1]: CROWD - 1}


@contextmanager
def held_up(world: Database) -> Iterator[None]:
    """Whoever wants to lock the seat's row has to wait."""
    somebody = Database(world.url)
    somebody.rows("BEGIN")
    somebody.rows("SELECT FROM seats WHERE id = %s FOR UPDATE", SEAT)
    try:
        yield
    finally:
        somebody.close()


def statements_that_wait(world: Database) -> int:
    return world.one(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


# --- In this process, where a guard can be taken away -----------------------------------------------------------------


def in_threads(calls: list[Callable[[], object]]) -> list[object]:
    """What each call gave or raised; database connections go back to the pool."""
    from django.db import connection

    def run(call: Callable[[], object]) -> object:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the error is the result
            return error
        finally:
            connection.close()

    return at_once([partial(run, call) for call in calls])


@contextmanager
def statement(monkeypatch: pytest.MonkeyPatch, module: object, name: str, *changes: tuple[str, str]) -> Iterator[None]:
    """The service's statement with parts replaced; each part must be there."""
    text = getattr(module, name)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, text)
        yield


A_MOMENT = "FROM seats s, (SELECT pg_sleep(0.5)) AS a_moment"


def reservations_of_one_seat(world: Database) -> int:
    from reservations.services import ReservedSeats, reserve_seats

    def reserve() -> object:
        return reserve_seats(buyer=Visitor(UUID(new_user())), event_id=UUID(HALL), seat_ids=[UUID(SEAT)])

    return sum(isinstance(result, ReservedSeats) for result in in_threads([reserve] * 8))


def test_postgresql_alone_never_sells_twice(world: Database, redis_server: Servers, monkeypatch) -> None:
    """Without Redis, and with a moment between looking and writing, so that all buyers are in it together."""
    from reservations.services import reserving_seats

    world.turn_waiting_rooms_off()
    redis_server.stop_redis()
    with statement(monkeypatch, reserving_seats, "_RESERVE", ("FROM seats s\n", f"{A_MOMENT}\n")):
        assert reservations_of_one_seat(world) == 1


def test_control_without_its_guards_postgresql_sells_twice(world: Database, redis_server: Servers, monkeypatch) -> None:
    from reservations.services import reserving_seats

    world.turn_waiting_rooms_off()
    redis_server.stop_redis()
    changes = (("FROM seats s\n", f"{A_MOMENT}\n"), ("ORDER BY s.id FOR UPDATE", "ORDER BY s.id"))
    world.rows("DROP INDEX seat_in_one_live_reservation")
    try:
        with statement(monkeypatch, reserving_seats, "_RESERVE", *changes):
            assert reservations_of_one_seat(world) > 1
    finally:
        world.load_world()
        world.rows("CREATE UNIQUE INDEX seat_in_one_live_reservation ON reservation_items (seat_id) WHERE is_live")


def test_control_the_index_alone_never_sells_twice(world: Database, redis_server: Servers, monkeypatch) -> None:
    """The last wall: no row lock, no Redis; the second sale fails on the unique index and is told that it is taken."""
    from reservations.services import reserving_seats

    world.turn_waiting_rooms_off()
    redis_server.stop_redis()
    changes = (("FROM seats s\n", f"{A_MOMENT}\n"), ("ORDER BY s.id FOR UPDATE", "ORDER BY s.id"))
    with statement(monkeypatch, reserving_seats, "_RESERVE", *changes):
        assert reservations_of_one_seat(world) == 1


def test_8_fifty_buyers_of_one_ticket_type_all_succeed(web: Api, world: Database) -> None:
    buy = "/reservations"
    body = {"eventId": STANDING, "items": [{"ticketTypeId": STANDING_A, "quantity": 1}]}
    answers = at_once([partial(web.post, buy, body, user=new_user()) for _ in range(50)])
    assert Counter(answer.status for answer in answers) == {201: 50}
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_A) == 50
    answers = at_once([partial(web.post, buy, body, user=new_user()) for _ in range(60)])
    assert Counter(answer.status for answer in answers) == {201: 50, 400: 10}
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_A) == 0


def test_8_control_without_the_row_lock_stock_is_lost(world: Database, monkeypatch) -> None:
    from reservations.services import ReservedTickets, reserve_tickets, reserving_tickets

    def buy() -> object:
        user = Visitor(UUID(new_user()))
        return reserve_tickets(buyer=user, event_id=UUID(STANDING), quantities={UUID(STANDING_A): 1})

    def sold_and_left() -> tuple[int, int]:
        world.load_world()
        sold = sum(isinstance(result, ReservedTickets) for result in in_threads([buy] * 8))
        return sold, world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_A)

    a_moment = ("FROM ticket_types t\n", "FROM (SELECT pg_sleep(0.5)) AS a_moment, ticket_types t\n")
    with statement(monkeypatch, reserving_tickets, "_RESERVE", a_moment):
        assert sold_and_left() == (8, 92)
    unguarded = ("ORDER BY t.id FOR UPDATE OF t", "ORDER BY t.id")
    with statement(monkeypatch, reserving_tickets, "_RESERVE", a_moment, unguarded):
        sold, left = sold_and_left()
        assert sold + left > 100


def test_6_forty_buyers_of_different_types_are_answered_with_a_pool_of_20(
    world: Database, database_url: str, logs
) -> None:
    world.rows("UPDATE events SET sale_start_date = now() WHERE id = %s", MANY_TYPES)
    with running_web(
        logs / "pool.log", DATABASE_URL=database_url, WEB_WORKERS="1", WEB_THREADS="64", DATABASE_POOL_SIZE="20"
    ) as api:
        for _ in range(5):
            answers = at_once(
                [
                    partial(
                        api.post,
                        "/reservations",
                        {
                            "eventId": MANY_TYPES,
                            "items": [
                                {"ticketTypeId": f"71c00000-0000-4000-8000-0000000100{n:02x}", "quantity": 1},
                                {"ticketTypeId": f"71c00000-0000-4000-8000-0000000100{39 - n:02x}", "quantity": 1},
                            ],
                        },
                        user=new_user(),
                    )
                    for n in range(40)
                ]
            )
            assert Counter(answer.status for answer in answers) == {201: 40}
            assert max(answer.seconds for answer in answers) < 2
    assert (
        world.one("SELECT sum(total_quantity - available_quantity) FROM ticket_types WHERE event_id = %s", MANY_TYPES)
        == 400
    )


def test_6_control_two_connections_for_one_purchase_starve_the_pool(world: Database) -> None:
    """What the old service did: each purchase holds one connection and waits for a second."""
    from psycopg_pool import ConnectionPool, PoolTimeout

    with ConnectionPool(world.url, min_size=2, max_size=2, timeout=0.5) as pool:
        pool.wait()

        def purchase() -> object:
            try:
                with pool.connection():
                    time.sleep(0.1)
                    with pool.connection():
                        return "bought"
            except PoolTimeout as error:
                return error

        assert any(isinstance(result, PoolTimeout) for result in at_once([purchase] * 4))


def test_two_buyers_of_the_same_seats_in_other_orders_do_not_deadlock(web: Api, world: Database, redis_server) -> None:
    world.turn_waiting_rooms_off()
    redis_server.stop_redis()  # else its lock would keep them apart
    wanted = [seat(1, n) for n in range(1, 5)]
    for _ in range(10):
        answers = at_once([partial(web.reserve, new_user(), HALL, *wanted[:: 1 if n % 2 else -1]) for n in range(20)])
        assert Counter(answer.status for answer in answers) == {201: 1, 400: 19}
        (winner,) = (answer for answer in answers if answer.status == 201)
        user = world.one("SELECT user_id::text FROM reservations WHERE id = %s", winner.json["reservation"]["id"])
        assert web.cancel(user, winner.json["reservation"]["id"]).status == 200


# What a payment and a cancellation that come at once are answered, and how it ends. What was paid can be cancelled, too.
ENDS = {
    (200, 200, "cancelled"),
    ((409, "RESERVATION_CANCELLED"), 200, "cancelled"),
    ((409, "RESERVATION_EXPIRED"), 200, "cancelled"),
    ((409, "RESERVATION_EXPIRED"), (400, "이미 만료된 예매입니다."), "expired"),
    ((409, "RESERVATION_EXPIRED"), (400, "이미 만료된 예매입니다."), "pending"),  # the sweep came before the deadline
    (200, (400, "이미 만료된 예매입니다."), "confirmed"),  # paid a little late, while the seat was free
}


def test_paying_cancelling_and_expiring_at_once_ends_as_it_was_answered(web: Api, world: Database) -> None:
    """At the edge of the deadline, in whatever order; each order by itself is in test_operations_take_turns."""
    world.settle()
    from reservations.services import expire_due

    for trial in range(40):
        user = new_user()
        reservation = web.reserve(user, HALL, SEAT).json["reservation"]["id"]
        is_due = trial % 2 == 1
        if is_due:
            world.rows("UPDATE reservations SET expires_at = now() + interval '10 ms' WHERE id = %s", reservation)
        paid, cancelled, expired = in_threads([
            partial(web.confirm, reservation, 150_000), partial(web.cancel, user, reservation), partial(expire_due, limit=9)
        ])  # fmt: skip
        status = world.one("SELECT status FROM reservations WHERE id = %s", reservation)
        assert (in_short(paid), in_short(cancelled), status) in ENDS
        assert expired <= is_due
        assert expired == (status == "expired") or in_short(paid) == 200  # a late payment takes it again
        assert expire_due(limit=9) == (status == "pending") <= is_due
        if status == "confirmed":
            assert is_due
            assert web.refund(reservation).status == 200
        assert world.one("SELECT status FROM seats WHERE id = %s", SEAT) == "available"
    assert_books_agree(HALL)


# --- The lock in Redis ------------------------------------------------------------------------------------------------


def test_9_only_its_owner_releases_a_lock(world: Database, redis) -> None:
    from seats import locks
    from seats.errors import SeatBeingChosen

    event_id, seat_id = UUID(HALL), UUID(SEAT)
    key = locks.seat_lock_key(event_id, seat_id)
    assert key == f"lock:seat:{HALL}:{SEAT}"
    first = locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=[seat_id])
    with pytest.raises(SeatBeingChosen):
        locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=[seat_id])
    assert 0 < redis.pttl(key) <= locks.LOCK_MS
    redis.delete(key)  # its time is over
    second = locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=[seat_id])
    first.release()
    assert redis.get(key) == second.token
    second.release()
    assert redis.get(key) is None


def test_9_locks_are_taken_all_or_none(world: Database, redis) -> None:
    from seats import locks
    from seats.errors import SeatBeingChosen

    event_id, one, two, three = UUID(HALL), *(UUID(seat(1, n)) for n in (1, 2, 3))
    held = locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=[one, two])
    for wanted in ([two], [three, one], [three, two]):
        with pytest.raises(SeatBeingChosen):
            locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=wanted)
    assert sorted(redis.keys("lock:*")) == [locks.seat_lock_key(event_id, locked) for locked in (one, two)]
    held.release()
    assert redis.keys("lock:*") == []


def test_9_control_a_plain_delete_would_release_the_next_owners_lock(world: Database, redis, monkeypatch) -> None:
    """The same, with a script that does not ask whose lock it is."""
    from kernel.redis.scripts import LuaScript
    from seats import locks

    script = locks._release
    asks = "redis.call('GET', lock) == token"
    assert asks in script.body
    careless = LuaScript(script.body.replace(asks, "true"), keys=script.keys, args=script.args)
    monkeypatch.setattr(locks, "_release", careless)

    event_id, seat_id = UUID(HALL), UUID(SEAT)
    key = locks.seat_lock_key(event_id, seat_id)
    first = locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=[seat_id])
    redis.delete(key)  # its time is over
    second = locks.acquire_locks(event_id=event_id, buyer=Visitor(uuid4()), seat_ids=[seat_id])
    assert redis.get(key) == second.token
    first.release()
    assert redis.get(key) is None


def test_a_lock_that_is_lost_half_way_never_sells_twice(web: Api, world: Database, redis) -> None:
    """Redis forgets everything while a crowd is choosing."""
    done = threading.Event()

    def forget() -> None:
        while not done.is_set():
            redis.flushall()

    forgetting = threading.Thread(target=forget)
    forgetting.start()
    try:
        for _ in range(5):
            assert_one_winner(crowd_on_one_seat(web, world), world)
            free_everything(world)
    finally:
        done.set()
        forgetting.join()


def test_a_refused_buyer_leaves_no_lock_behind(web: Api, world: Database, redis) -> None:
    assert web.reserve(new_user(), HALL, seat(1, 19)).status == 400
    assert web.reserve(new_user(), HALL, SEAT).status == 201
    assert redis.keys("lock:*") == []


# --- A seat that is known to be taken ----------------------------------------------------------------------------------

MARK = f"rejected:{HALL}:{SEAT}"


def test_once_one_was_refused_others_are_without_postgresql(web: Api, world: Database, redis) -> None:
    assert web.reserve(new_user(), HALL, SEAT).status == 201
    refused = web.reserve(new_user(), HALL, SEAT)
    assert 0 < redis.pttl(MARK) <= 1000
    redis.pexpire(MARK, 60_000)  # the machine may be slow
    with held_up(world):
        again = web.reserve(new_user(), HALL, SEAT)
        assert statements_that_wait(world) == 0
    assert (again.status, again.json) == (refused.status, refused.json)


def test_a_seat_that_was_given_back_is_not_refused_any_more(web: Api, world: Database, redis) -> None:
    owner = new_user()
    reservation = web.reserve(owner, HALL, SEAT).json["reservation"]["id"]
    assert web.reserve(new_user(), HALL, SEAT).status == 400
    redis.pexpire(MARK, 60_000)
    web.cancel(owner, reservation)
    assert web.reserve(new_user(), HALL, SEAT).status == 201


def test_a_seat_is_not_known_to_be_taken_past_the_end_of_its_hold(web: Api, world: Database, redis) -> None:
    reservation = web.reserve(new_user(), HALL, SEAT).json["reservation"]["id"]
    world.rows("UPDATE reservations SET expires_at = now() + interval '500 ms' WHERE id = %s", reservation)
    assert web.reserve(new_user(), HALL, SEAT).status == 400
    assert redis.pttl(MARK) <= 500


def test_who_was_refused_marks_nothing_that_was_given_back_meanwhile(web: Api, world: Database, redis) -> None:
    """PostgreSQL has refused, but the answer is still under way when the seat is set free."""
    from uuid import UUID

    from seats.errors import SeatTaken
    from seats.locks import SeatLocks, seat_lock_key
    from seats.publishing import publish_released

    event_id, seat_id = UUID(HALL), UUID(SEAT)
    lock = seat_lock_key(event_id, seat_id)
    redis.set(lock, "refused")
    publish_released(event_id=event_id, changes={seat_id: 1})
    SeatLocks(event_id, "refused", (lock,)).release(SeatTaken(label="A-1", unavailable={seat_id: "A-1"}))
    assert not redis.exists(MARK, lock)


def test_the_owner_repeats_a_named_request_though_the_seat_is_known_to_be_taken(
    web: Api, world: Database, redis
) -> None:
    owner, named = new_user(), {"Idempotency-Key": "mine"}
    first = web.reserve(owner, HALL, SEAT, headers=named)
    assert web.reserve(new_user(), HALL, SEAT).status == 400
    redis.pexpire(MARK, 60_000)
    assert web.reserve(owner, HALL, SEAT, headers=named).json == first.json


# --- Idempotency at once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_redis", [True, False])
def test_the_same_request_at_once_sells_once(
    web: Api, world: Database, redis_server: Servers, with_redis: bool
) -> None:
    if not with_redis:
        world.turn_waiting_rooms_off()
        redis_server.stop_redis()
    for trial in range(10):
        user, headers = new_user(), {"Idempotency-Key": f"key-{trial}"}
        seats = [seat(1, 1 + trial)]
        answers = at_once([partial(web.reserve, user, HALL, *seats, headers=headers) for _ in range(8)])
        # A request that comes while the first still runs is told so; without Redis it waits for the answer of the first.
        assert {answer.status for answer in answers} <= ({201, 409} if with_redis else {201})
        assert len({answer.json["reservation"]["id"] for answer in answers if answer.status == 201}) == 1
        assert web.reserve(user, HALL, *seats, headers=headers).status == 201
        assert world.one("SELECT count(*) FROM reservations WHERE user_id = %s", user) == 1


def test_a_request_that_still_runs_is_a_conflict(web: Api, world: Database) -> None:
    user, headers = new_user(), {"Idempotency-Key": "slow"}
    first: list[Answer] = []
    waiting = threading.Thread(target=lambda: first.append(web.reserve(user, HALL, SEAT, headers=headers)))
    with held_up(world):
        waiting.start()
        wait_until(lambda: statements_that_wait(world) == 1, seconds=5)
        second = web.reserve(user, HALL, SEAT, headers=headers)
    waiting.join()
    assert (second.status, second.headers["retry-after"]) == (409, "1")
    assert first[0].status == 201
    assert web.reserve(user, HALL, SEAT, headers=headers).json == first[0].json


def test_a_purchase_of_tickets_that_still_runs_is_a_conflict_for_its_buyer_only(web: Api, world: Database) -> None:
    user, headers = new_user(), {"Idempotency-Key": "slow"}

    def buy(buyer: str) -> Answer:
        return web.buy(buyer, STANDING, headers=headers, **{STANDING_A: 1})

    with ThreadPoolExecutor(2) as threads:
        with locked_row(world, "ticket_types", STANDING_A):
            first = threads.submit(buy, user)
            wait_until(lambda: statements_that_wait(world) == 1, seconds=4)
            second = buy(user)
            of_another = threads.submit(buy, new_user())
            wait_until(lambda: statements_that_wait(world) == 2, seconds=4)
        assert (second.status, second.headers["retry-after"]) == (409, "1")
        assert (first.result().status, of_another.result().status) == (201, 201)
    assert buy(user).json == first.result().json
