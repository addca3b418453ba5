"""What could go wrong in the waiting room, one case each, by a clock that the test sets."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from queueing import store
from queueing.states import QueueTicket
from tests.support.waiting_room_clock import (
    BY_THE_CLOCK_OF_THE_TEST,
    SECOND,
    Room,
    change_scripts,
    pass_of,
    policy_fields,
    ticket_of,
)

USERS = [str(uuid.UUID(int=n)) for n in range(1, 21)]
ANN, BEN, CAT, DAN, EVE, *_ = USERS


@pytest.fixture
def room(redis, monkeypatch, settings) -> Room:
    """Nobody is let in, so that a line forms, unless the policy is changed."""
    redis.flushall()
    settings.QUEUE_REBUILD_SECONDS = 15
    monkeypatch.setattr(store, "_last_seen_queues", {})
    change_scripts(monkeypatch, BY_THE_CLOCK_OF_THE_TEST)
    room = Room(redis, policy_fields(threshold=0))
    room.set_clock()
    return room


@contextmanager
def forgetting() -> Iterator[None]:
    """What is called is called by another process, that has just been started."""
    remembered = dict(store._last_seen_queues)
    store._last_seen_queues.clear()
    yield
    store._last_seen_queues.clear()
    store._last_seen_queues.update(remembered)


# --- The rate ---------------------------------------------------------------------------------------------------------


def test_a_higher_rate_does_not_count_for_the_time_before_it(room: Room) -> None:
    room.change(threshold=1000, rate=2, burst=4)
    assert [room.visit(user).state for user in USERS].count("active") == 4
    room.set_clock(by=1)
    room.change(rate=10, burst=10)
    assert room.admit() == USERS[4:6]  # two a second, for one second; not ten
    room.set_clock(by=0.5)
    assert room.admit() == USERS[6:11]


def test_a_rate_that_was_lower_for_a_while_counts_for_that_while(room: Room) -> None:
    room.change(threshold=1000, rate=10, burst=10)
    for user in USERS:
        room.visit(user)
    room.change(rate=0.5)
    room.set_clock(by=2)
    room.change(rate=10)
    assert room.admit() == USERS[10:11]


# --- Redis has lost everything ----------------------------------------------------------------------------------------


def a_line(room: Room, users: list[str]) -> dict[str, QueueTicket]:
    """Their tickets."""
    return {user: ticket_of(room.visit(user)) for user in users}


@pytest.mark.parametrize("first", ["look", "another process", "this process"])
def test_after_a_loss_nobody_overtakes_whoever_calls_first(room: Room, first: str) -> None:
    tickets = a_line(room, USERS[:10])
    room.policy |= {"threshold": 5}
    room.set_clock(by=1)
    room.lose_everything()
    if first == "look":
        room.look()
    if first == "another process":
        with forgetting():
            room.visit(EVE, "status")
    assert room.visit(USERS[10]).state == "waiting"  # one who was not there before, while the others do not know yet
    back = [room.visit(user, "status", ticket=tickets[user]) for user in reversed(USERS[:10])]
    assert {found.state for found in back} == {"waiting"}
    assert room.line() == USERS[:11]
    assert room.admit() == []
    room.set_clock(by=15)
    assert room.admit() == USERS[:5]


def test_a_ticket_is_worth_nothing_long_after_the_loss(room: Room) -> None:
    tickets = a_line(room, [ANN, BEN])
    room.set_clock(by=1)
    room.lose_everything()
    room.visit(CAT)
    assert room.visit(ANN, "status", ticket=tickets[ANN]).position == 1
    for _ in range(8):
        room.set_clock(by=50)
        room.visit(CAT)
    assert room.visit(BEN, "status", ticket=tickets[BEN]).state == "none"  # as if he had been silent for as long
    assert room.visit(BEN, ticket=tickets[BEN]).position == 3


def test_who_comes_back_long_after_the_loss_does_not_stop_admissions(room: Room) -> None:
    room.policy |= {"threshold": 5, "admission": 3600 * SECOND}
    passes = {user: pass_of(room.visit(user)) for user in USERS[:5]}
    room.set_clock(by=1)
    room.lose_everything()
    with forgetting():
        assert room.visit(USERS[5]).state == "active"
        room.set_clock(by=1000)
        assert room.visit(ANN, pass_=passes[ANN]).state == "active"
        assert room.visit(USERS[6]).state == "active"


@pytest.mark.parametrize("proof", ["pass", "ticket"])
def test_what_was_lost_is_given_back_once(room: Room, proof: str) -> None:
    room.policy |= {"threshold": 1}
    given = {"pass_": pass_of(room.visit(ANN))}
    if proof == "ticket":
        given = {"ticket": ticket_of(room.visit(BEN))}
    user = ANN if proof == "pass" else BEN
    room.set_clock(by=1)
    room.lose_everything()
    assert room.visit(user, **given).state == ("active" if proof == "pass" else "waiting")
    assert room.leave(user)
    assert room.visit(CAT).state == "waiting"
    assert room.visit(user, "status", **given).state == "none"
    assert room.visit(user, **given).position == 2  # behind CAT, like everybody who comes now


def test_the_clock_may_be_set_back_by_the_loss(room: Room) -> None:
    """Another machine becomes Redis, and its clock is behind."""
    room.policy |= {"threshold": 1}
    pass_ = pass_of(room.visit(ANN))
    tickets = a_line(room, USERS[1:10])
    room.set_clock(by=-30)
    room.lose_everything()
    assert room.visit(ANN, pass_=pass_).state == "active"
    for user in reversed(USERS[1:10]):
        assert room.visit(user, "status", ticket=tickets[user]).state == "waiting"
    assert room.visit(USERS[10]).position == 10
    assert room.line() == USERS[1:11]


def test_nobody_waits_for_the_clock_to_catch_up_after_a_loss(room: Room) -> None:
    tickets = a_line(room, [ANN])
    room.set_clock(by=1)
    room.lose_everything()
    room.visit(ANN, ticket=tickets[ANN])
    room.change(threshold=1)
    room.set_clock(by=-3600)
    assert room.admit() == []
    room.set_clock(by=15)
    assert room.admit() == [ANN]


def test_who_was_inside_stands_before_everybody_who_was_drawn(room: Room) -> None:
    room.policy |= {"threshold": 1, "opens": room.now + 10 * SECOND, "seed": "ab" * 32}
    for lot, user in enumerate(USERS[:5], start=7):
        room.visit(user, lot=lot)
    room.set_clock(by=10)
    assert room.admit() == [ANN]
    pass_ = pass_of(room.visit(ANN))
    tickets = {user: replace(ticket_of(room.visit(user)), score=None) for user in USERS[1:5]}
    room.set_clock(by=1)
    room.lose_everything()
    room.policy |= {"threshold": 0}
    for lot, user in enumerate(USERS[1:5], start=8):
        room.visit(user, ticket=tickets[user], lot=lot)
    assert room.visit(ANN, pass_=pass_).position == 1
    assert room.line() == USERS[:5]


def test_a_ticket_without_a_place_is_no_ticket_where_nothing_was_drawn(room: Room) -> None:
    tickets = a_line(room, [ANN])
    room.set_clock(by=1)
    room.lose_everything()
    room.visit(BEN)
    assert room.visit(ANN, ticket=replace(tickets[ANN], score=None)).position == 2


# --- The clock is set back --------------------------------------------------------------------------------------------


def test_the_silent_go_also_when_the_clock_was_set_back(room: Room) -> None:
    room.change(threshold=1)
    for user in (ANN, BEN, CAT):
        room.visit(user)
    room.set_clock(by=-3600)
    for _ in range(30):
        room.admit()
        room.set_clock(by=11)
        room.visit(CAT, "status")
    assert room.visit(CAT, "status").state == "active"  # ANN was inside and silent, BEN stood before CAT


def test_what_is_measured_goes_on_when_the_clock_was_set_back(room: Room) -> None:
    room.change(threshold=1000, rate=1, burst=1)
    for user in USERS:
        room.visit(user)
    room.admit()
    room.set_clock(by=-3600)
    room.admit()
    for _ in range(10):
        room.set_clock(by=1)
        assert len(room.admit()) == 1
    found = room.look()
    assert (found.outflow, found.outflow_us) == (10, 10 * SECOND)
    assert room.redis.zcard(room.key("queue:probes:{}")) == 2


def test_the_policy_is_looked_up_also_when_the_clock_was_set_back(room: Room) -> None:
    room.visit(ANN)
    room.set_clock(by=-3600)
    assert room.tick().is_policy_stale
    assert not room.tick().is_policy_stale


def test_an_older_policy_counts_only_where_none_was_told_lately_and_is_looked_up_again_soon(room: Room) -> None:
    """PostgreSQL may have been put back to an earlier state."""
    room.visit(ANN)
    room.change(xmax=999, threshold=5)
    assert room.look().threshold == 0
    room.set_clock(by=61)
    room.change(xmax=999, threshold=5)
    assert room.look().threshold == 5
    assert not room.tick().is_policy_stale
    room.set_clock(by=2)
    assert room.tick().is_policy_stale


def test_no_tick_is_no_tick_when_the_clock_was_set_back(room: Room) -> None:
    room.visit(ANN)
    room.admit()
    assert room.visit(ANN).has_rounds
    room.set_clock(by=-3600)
    assert not room.visit(ANN).has_rounds


# --- What others have written -----------------------------------------------------------------------------------------


def test_who_was_put_in_line_by_others_is_like_everybody(room: Room) -> None:
    room.visit(BEN)
    room.redis.zadd(room.key("queue:{}"), {ANN: room.now - 1, CAT: room.now + 0.5})
    assert [room.visit(user).position for user in (ANN, BEN)] == [1, 2]
    assert room.look().size == 3
    room.admit()  # from now on CAT is expected to be heard of, too
    room.set_clock(by=59)
    room.visit(BEN)
    room.admit()
    assert room.line() == [ANN, BEN, CAT]
    room.set_clock(by=1)
    room.admit()
    assert room.line() == [BEN]
    assert room.visit(CAT).position == 2  # within the grace time


def test_who_was_put_inside_by_others_is_like_everybody(room: Room) -> None:
    room.redis.sadd(room.key("active:{}"), ANN, BEN)
    room.change(threshold=3, idle=600 * SECOND)
    assert room.visit(CAT).active_before == 2
    assert room.visit(DAN).state == "waiting"
    room.admit()
    room.set_clock(by=299)
    assert room.admit() == []
    found = room.visit(ANN)
    assert (found.state, found.admitted_until) == ("active", room.now + 301 * SECOND)
    room.set_clock(by=1)
    assert room.admit() == [DAN]
    room.set_clock(by=298)
    assert room.visit(ANN).admitted_until == room.now + 2 * SECOND
    room.set_clock(by=2)
    room.admit()
    assert room.look().active == 0


def test_who_was_taken_away_by_others_is_gone(room: Room) -> None:
    room.change(threshold=1)
    for user in (ANN, BEN, CAT):
        room.visit(user)
    room.redis.zrem(room.key("queue:{}"), BEN)
    room.redis.srem(room.key("active:{}"), ANN)
    assert room.admit() == [CAT]
    for template in ("queue:seen:{}", "queue:grace:{}"):
        assert not room.redis.exists(room.key(template))
    for template in ("active:until:{}", "active:seen:{}"):
        assert room.redis.zrange(room.key(template), 0, -1) == [CAT]


def test_a_place_in_line_that_is_no_moment_is_not_counted_as_a_long_wait(room: Room) -> None:
    room.redis.zadd(room.key("queue:{}"), {ANN: room.now // 1000})  # in milliseconds
    room.visit(BEN)
    room.change(threshold=2)
    assert room.admit() == [ANN, BEN]
    assert float(room.redis.hget(room.key("queue:stats:{}"), "wait_sum")) == 0


def test_any_number_may_be_dropped_put_out_and_let_in_at_once(room: Room) -> None:
    """unpack() takes some thousands, and no more."""
    crowd = {str(uuid.UUID(int=n)): room.now + n for n in range(100, 9_100)}
    room.policy |= {"rate": 1_000_000}
    room.visit(ANN)
    room.change(threshold=17_500)
    room.redis.zadd(room.key("queue:{}"), crowd)
    room.redis.sadd(room.key("active:{}"), *(str(uuid.UUID(int=n)) for n in range(20_000, 29_000)))
    assert room.admit() == [ANN, *crowd][:8_500]
    room.set_clock(by=600)
    assert room.admit() == []
    assert room.redis.hlen(room.key("queue:grace:{}")) == 501
    assert not room.redis.exists(*(room.key(template) for template in ("queue:{}", "active:{}", "active:seen:{}")))


# --- Numbers and times ------------------------------------------------------------------------------------------------


def test_an_event_that_is_busy_again_does_not_end(room: Room) -> None:
    """What is left of an event without anybody ends after a month: not if the next crowd comes before."""
    keys = [room.key(template) for template in ("queue:state:{}", "queue:policy:{}", "queue:stats:{}")]
    room.visit(ANN)
    room.leave(ANN)
    assert room.tick().is_empty
    assert all(room.redis.ttl(key) > 0 for key in keys)
    room.visit(BEN)
    room.admit()
    assert all(room.redis.ttl(key) == -1 for key in keys)


def test_a_policy_that_lacks_something_is_no_policy(room: Room) -> None:
    """As written by an older release, or by hand."""
    room.visit(ANN)
    for name in ("threshold", "grace", "sale_to", "is_on"):
        room.redis.hdel(room.key("queue:policy:{}"), name)
        assert room.visit(ANN).position == 1
    room.redis.hset(room.key("queue:policy:{}"), "rate", "fast")
    assert room.admit() == []


def test_all_lots_take_part_in_the_draw(room: Room) -> None:
    room.policy |= {"opens": room.now + SECOND, "seed": "ab" * 32}
    lots = [2**50 - 1, 0, 2**50 - 2, 2**49]
    for user, lot in zip(USERS, lots, strict=False):
        room.visit(user, lot=lot)
    room.set_clock(by=1)
    late = room.visit(USERS[len(lots)])
    assert room.tick().is_draw_due
    assert [str(user) for user in store.unrecorded_draw(room.event_id)[1]] == [BEN, DAN, CAT, ANN]
    assert late.position == 5


def test_a_place_is_exact_to_the_microsecond(room: Room) -> None:
    room.now = 2**52 - 5  # in the year 2112: below 2^53 every microsecond is a number
    room.policy["sale_to"] = 2**53
    room.set_clock()
    found = [room.visit(user) for user in USERS]
    assert [f.score for f in found] == list(range(2**52 - 5, 2**52 - 5 + len(USERS)))
    assert [f.position for f in found] == list(range(1, len(USERS) + 1))
    room.change(threshold=1000)
    assert room.admit() == USERS
    assert room.visit(ANN).admitted_until == room.now + 600 * SECOND
