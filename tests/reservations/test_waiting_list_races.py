"""The waiting list while many want the same places at once, and its offers race against whoever joins, leaves or pays."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import pytest

from devtools.embedded import Servers
from tests.support.harness import Api, Database, assert_books_agree, at_once, new_user, running_web
from tests.support.limited_sale import held
from tests.support.subscribers import as_worker
from tests.support.waitlist import SoldOut, hold, join, leave, offered_seats, sold_out, state, waiting

pytestmark = pytest.mark.slow

TRIALS = 20
LAPSE_AFTER = 0.3  # seconds
GO_ON_FOR = 1.0


# --- 50 wait, 30 holds lapse, 20 others ask for the same places -------------------------------------------------------


def let_all_lapse(world: Database, sale: SoldOut) -> None:
    world.rows(
        "UPDATE reservations SET expires_at = now() + make_interval(secs => %s) WHERE id = ANY(%s::uuid[])",
        LAPSE_AFTER,
        sale.holds,
    )


def ask_again_and_again(api: Api, sale: SoldOut, user: str, until: float) -> int:
    """Asks for every seat in turn, in an order of its own. Returns how often it got one."""
    got = 0
    while time.monotonic() < until:
        for seat in random.sample(sale.seats, len(sale.seats)):
            got += api.reserve(user, sale.event, seat).status == 201
            if time.monotonic() > until:
                break
    return got


@contextmanager
def sweeping(count: int = 2) -> Iterator[None]:
    """So many workers sweep all the time."""
    from reservations import services

    is_over = threading.Event()

    def sweep() -> None:
        while not is_over.is_set():
            services.sweep()
            time.sleep(0.01)

    with ThreadPoolExecutor(count) as threads:
        running = [threads.submit(as_worker(sweep)) for _ in range(count)]
        try:
            yield
        finally:
            is_over.set()
            for one in running:
                one.result()


def crowd(api: Api, world: Database, sale: SoldOut) -> int:
    """20 outsiders, each of whom asks for every seat, while two sweep and all holds lapse. How many seats they got."""
    let_all_lapse(world, sale)
    until = time.monotonic() + LAPSE_AFTER + GO_ON_FOR
    with sweeping():
        return sum(at_once([partial(ask_again_and_again, api, sale, new_user(), until) for _ in range(20)]))


def assert_first_30_of_50_have_offers(api: Api, world: Database, *, has_waiting_room: bool = True) -> None:
    from reservations.services import audit

    sale = sold_out(world, api, seats=30, has_waiting_room=has_waiting_room)
    users = waiting(api, sale.event, 50)
    assert crowd(api, world, sale) == 0
    entries = world.rows(
        "SELECT user_id::text, status FROM waitlist_entries WHERE event_id = %s ORDER BY id", sale.event
    )
    assert [entry["user_id"] for entry in entries] == users
    assert [entry["status"] for entry in entries] == ["offered"] * 30 + ["waiting"] * 20
    offered = [offered_seats(world, user, sale.event) for user in users[:30]]
    assert sorted(offered) == sorted([seat] for seat in sale.seats)
    live = "SELECT count(*) FROM reservations WHERE event_id = %s AND status IN ('pending', 'confirmed')"
    assert world.one(live, sale.event) == 30
    assert audit(event_id=UUID(sale.event)).violations == []


@pytest.fixture
def api(database_url: str, logs) -> Iterator[Api]:
    """Outsiders who ask a hundred times a second are not the matter of these tests."""
    with running_web(
        logs / "waitlist.log", DATABASE_URL=database_url, WEB_WORKERS="1", WEB_THREADS="32",
        MAX_SEATS_PER_RESERVATION="4", RATE_LIMIT_RESERVE="0",
    ) as found:  # fmt: skip
        yield found


def test_30_lapsed_holds_go_to_the_first_30_of_50_and_to_none_of_20_outsiders(api: Api, world: Database) -> None:
    for _ in range(2):
        assert_first_30_of_50_have_offers(api, world)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_in_20_trials(api: Api, world: Database) -> None:
    for _ in range(TRIALS):
        assert_first_30_of_50_have_offers(api, world)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_without_redis(api: Api, world: Database, redis_server: Servers) -> None:
    redis_server.stop_redis()
    for _ in range(TRIALS):
        assert_first_30_of_50_have_offers(api, world, has_waiting_room=False)


def test_control_without_the_list_outsiders_get_seats(api: Api, world: Database) -> None:
    sale = sold_out(world, api, seats=30)
    waiting(api, sale.event, 50)
    world.rows("UPDATE events SET has_waitlist = false WHERE id = %s", sale.event)
    assert crowd(api, world, sale) > 0


@pytest.mark.long
def test_the_same_of_tickets(api: Api, world: Database) -> None:
    for _ in range(TRIALS // 4):
        sale = sold_out(world, api, seats=0, tickets=30)
        sale.holds = [hold(api.buy(new_user(), sale.event, **{sale.tickets: 1})) for _ in range(30)]
        users = waiting(api, sale.event, 50, ticketTypeId=sale.tickets)
        world.rows(
            "UPDATE reservations SET held_until = now() + interval '0.3 s' WHERE id = ANY(%s::uuid[])", sale.holds
        )
        until = time.monotonic() + LAPSE_AFTER + GO_ON_FOR

        def buy(user: str, sale: SoldOut = sale, until: float = until) -> int:
            got = 0
            while time.monotonic() < until:
                got += api.buy(user, sale.event, **{sale.tickets: 1}).status == 201
            return got

        with sweeping():
            assert sum(at_once([partial(buy, new_user()) for _ in range(20)])) == 0
        assert [state(api, user, sale.event) for user in users] == ["offered"] * 30 + ["waiting"] * 20
        assert_books_agree(sale.event)


# --- Two at the same moment -------------------------------------------------------------------------------------------


def test_whoever_leaves_while_an_offer_comes_holds_nothing(api: Api, world: Database) -> None:
    for _ in range(TRIALS):
        sale = sold_out(world, api, seats=1)
        first, second = waiting(api, sale.event, 2)
        answers = at_once([partial(api.cancel, sale.holders[0], sale.holds[0]), partial(leave, api, first, sale.event)])
        assert [answer.status for answer in answers] == [200, 200]
        assert state(api, first, sale.event) in ("left", "cancelled")
        assert offered_seats(world, first, sale.event) == []
        assert offered_seats(world, second, sale.event) == sale.seats
        assert_books_agree(sale.event)


def test_whoever_joins_while_a_place_is_released_is_not_overlooked(api: Api, world: Database) -> None:
    for _ in range(TRIALS):
        sale, user = sold_out(world, api, seats=1), new_user()
        released, joined = at_once(
            [partial(api.cancel, sale.holders[0], sale.holds[0]), partial(join, api, user, sale.event)]
        )
        assert released.status == 200
        if joined.status == 201:
            assert offered_seats(world, user, sale.event) == sale.seats
        else:
            assert (joined.status, joined.json["code"]) == (409, "PLACES_AVAILABLE")
            assert world.one("SELECT status FROM seats WHERE id = %s", sale.seats[0]) == "available"


def test_one_who_joins_many_times_at_once_waits_once(api: Api, world: Database) -> None:
    sale, user = sold_out(world, api, seats=1), new_user()
    answers = at_once([partial(join, api, user, sale.event) for _ in range(20)])
    assert {answer.status for answer in answers} == {201}
    assert world.one("SELECT count(*) FROM waitlist_entries WHERE event_id = %s", sale.event) == 1


def test_50_who_join_at_once_have_50_positions(api: Api, world: Database) -> None:
    sale = sold_out(world, api, seats=1)
    answers = at_once([partial(join, api, new_user(), sale.event) for _ in range(50)])
    assert sorted(answer.json["waitlist"]["position"] for answer in answers)[-1] == 50
    ids = world.rows("SELECT id FROM waitlist_entries WHERE event_id = %s ORDER BY id", sale.event)
    assert len(ids) == 50


def test_an_offer_and_a_purchase_of_the_same_buyer_keep_the_limit(api: Api, world: Database) -> None:
    for _ in range(TRIALS):
        sale = sold_out(world, api, seats=1, tickets=10)
        world.rows("UPDATE events SET max_tickets_per_buyer = 2 WHERE id = %s", sale.event)
        (user,) = waiting(api, sale.event, section="R")
        calls: list[Callable[[], object]] = [partial(api.cancel, sale.holders[0], sale.holds[0])]
        calls += [partial(api.buy, user, sale.event, **{sale.tickets: 1}) for _ in range(3)]
        at_once(calls)
        assert held(world, user, sale.event) == 2
        assert_books_agree(sale.event)


def live(api: Api, sale: SoldOut, until: float, seed: int) -> list[object]:
    """One buyer after the other, who reserve, wait, leave, swap, pay and cancel. What went wrong."""
    dice, wrong = random.Random(seed), []
    while time.monotonic() < until:
        user = new_user()
        wishes = [
            partial(api.reserve, user, sale.event, *dice.sample(sale.seats, dice.choice([1, 2, 3]))),
            partial(api.buy, user, sale.event, **{sale.tickets: dice.choice([1, 2])}),
            partial(join, api, user, sale.event, dice.choice([1, 1, 2])),
            partial(join, api, user, sale.event, 1, ticketTypeId=sale.tickets),
            partial(leave, api, user, sale.event),
        ]
        answers = [wish() for wish in dice.sample(wishes, 3)]
        for row in api.get("/reservations/my", user=user).json["reservations"]:
            swap = {"seatIds": dice.sample(sale.seats, 1)}
            match dice.choice(["cancel", "pay", "swap", "swap"]):
                case "cancel":
                    answers.append(api.cancel(user, row["id"]))
                case "swap":
                    answers.append(api.post(f"/reservations/{row['id']}/seats", swap, user=user))
                case "pay":
                    answers.append(api.confirm(row["id"], row["total_amount"]))
                    answers.append(api.cancel(user, row["id"]))
        wrong += [answer.json for answer in answers if answer.status >= 500]
    return wrong


def let_some_lapse(url: str, sale: SoldOut, until: float) -> None:
    somebody = Database(url)
    while time.monotonic() < until:
        somebody.rows(
            "UPDATE reservations SET expires_at = CASE WHEN expires_at IS NOT NULL THEN now() - interval '1 s' END,"
            " held_until = CASE WHEN held_until IS NOT NULL THEN now() - interval '1 s' END WHERE id IN ("
            "   SELECT id FROM reservations WHERE event_id = %s AND status = 'pending' AND random() < 0.3"
            "   ORDER BY id FOR UPDATE SKIP LOCKED)",
            sale.event,
        )
        time.sleep(0.05)
    somebody.close()


@pytest.mark.long
def test_everything_at_once_has_no_deadlock(api: Api, world: Database, caplog: pytest.LogCaptureFixture) -> None:
    sale = sold_out(world, api, seats=12, rows=3, tickets=5)
    until = time.monotonic() + 10
    with sweeping(), ThreadPoolExecutor(13) as threads:
        lapsing = threads.submit(let_some_lapse, world.url, sale, until)
        wrong = [threads.submit(live, api, sale, until, seed) for seed in range(12)]
        assert [one for found in wrong for one in found.result()] == []
        lapsing.result()
    assert "deadlock" not in caplog.text
    assert_books_agree(sale.event)
    offered = "SELECT count(*) FROM waitlist_entries WHERE status = 'offered' AND event_id = %s"
    assert world.one(offered, sale.event) > 20
