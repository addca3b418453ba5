"""What could go wrong in the waiting room, one case each, by a clock that the test sets."""

import uuid

import pytest

from queueing import waiting_room
from tests.waiting_room_clock import BY_THE_CLOCK_OF_THE_TEST, Room, change_scripts, policy_fields
from tests.waiting_room_clock import ticket_of as ticket_of

USERS = [str(uuid.UUID(int=n)) for n in range(1, 21)]
ANN, BEN, CAT, DAN, EVE, *_ = USERS


@pytest.fixture
def room(redis, monkeypatch, settings) -> Room:
    """Nobody is let in, so that a line forms, unless the policy is changed."""
    redis.flushall()
    settings.QUEUE_REBUILD_SECONDS = 15
    monkeypatch.setattr(waiting_room, "_crowds", type(waiting_room._crowds)())
    change_scripts(monkeypatch, BY_THE_CLOCK_OF_THE_TEST)
    room = Room(redis, policy_fields(threshold=0))
    room.set_clock()
    return room


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
