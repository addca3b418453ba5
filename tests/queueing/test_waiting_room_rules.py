"""The rules of the waiting room: nobody overtakes, nobody is lost, never too many inside, never too many at once.

A machine tries everything in any order; that it would find a fault is shown with scripts that are broken here in the test.
"""

from collections import Counter
from collections.abc import Callable

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from queueing import store
from tests.support.waiting_room_clock import BY_THE_CLOCK_OF_THE_TEST, SECOND, change_scripts
from tests.support.waiting_room_machine import Machine
from tests.support.waiting_room_rules import REBUILD

pytestmark = pytest.mark.slow

IN_SMALL_CHUNKS = ("local CHUNK = 1000", "local CHUNK = 2")  # so that a handful of people are many

RunMachine = Callable[..., Counter[str]]


@pytest.fixture
def run_machine(redis, monkeypatch, settings) -> RunMachine:
    """Runs it, with changes to the scripts, and returns what has happened."""

    def run(*changes: tuple[str, str]) -> Counter[str]:
        change_scripts(monkeypatch, BY_THE_CLOCK_OF_THE_TEST, IN_SMALL_CHUNKS, *changes)
        machine = type("Machine", (Machine,), {"redis": redis, "happened": Counter()})
        run_state_machine_as_test(
            machine,
            settings=hypothesis.settings(
                max_examples=50,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                database=None,
                report_multiple_bugs=False,
                phases=[hypothesis.Phase.generate],  # to shrink what was found takes minutes
                suppress_health_check=list(hypothesis.HealthCheck),
            ),
        )
        return machine.happened

    settings.QUEUE_REBUILD_SECONDS = REBUILD // SECOND
    monkeypatch.setattr(store, "MAX_ADMISSIONS_PER_CALL", 2)
    monkeypatch.setattr(store, "_last_seen_queues", {})
    return run


def test_in_any_order_the_rules_hold(run_machine: RunMachine) -> None:
    happened = run_machine()
    print("\n", dict(happened))
    usual = {"joined", "let in directly", "let in by a tick", "refused at the door", "dropped", "came back", "ran out",
             "idle inside", "rebuilt", "restored in line", "restored inside"}  # fmt: skip
    assert usual <= happened.keys()


BROKEN = {
    "a tick does not look at the threshold": (
        "math.min(policy.threshold - redis.call('SCARD', active_key), tokens,",
        "math.min(tokens,",
    ),
    "check does not look at the threshold": ("and active_before < policy.threshold", ""),
    "a pass is given back above the threshold": (
        "if redis.call('SCARD', active_key) < policy.threshold then",
        "if true then",
    ),
    "a tick spends no tokens": ("save_state('tokens', tokens - to_admit,", "save_state('tokens', tokens,"),
    "check spends no token": ("save_state('tokens', tokens - 1,", "save_state('tokens', tokens,"),
    "tokens are saved without end": ("return math.min(most, stored", "return math.min(1000, stored"),
    "a new rate counts for the past": ("if rate and burst and stored and at then", "if false then"),
    "the newest first": ("'ZPOPMIN', queue_key", "'ZPOPMAX', queue_key"),
    "check overtakes who waits": ("and redis.call('ZCARD', queue_key) == 0 then", "then"),
    "two have the same place": ("math.max(now, tonumber(state.last_score or 0) + 1)", "now"),
    "the silent stay in line": ("'-inf', now - policy.idle, 'LIMIT'", "'-inf', 0, 'LIMIT'"),
    "the silent are forgotten at once": ("if scores[number] then", "if false then"),
    "a kept place is not given back": ("if grace_until > now then", "if false then"),
    "an admission does not end": (
        "'ZRANGEBYSCORE', active_until_key, '-inf', now,",
        "'ZRANGEBYSCORE', active_until_key, '-inf', 0,",
    ),
    "the silent stay inside": ("'-inf', now - policy.active_idle, 'LIMIT'", "'-inf', 0, 'LIMIT'"),
    "buying frees no place": ("if was_active == 1 then", "if was_active == 1 and cause == 'left' then"),
    "traces of who was let in stay in line": ("redis.call('ZREM', queue_seen_key, unpack(users))", ""),
    "nobody waits for who lost a place": (
        "if lost_epoch ~= '' and tonumber(lost_epoch) ~= epoch then begin_rebuild() end",
        "",
    ),
    "what was lost is given back again and again": ("redis.call('SADD', redeemed_key, user_id)", ""),
    "only part of the dead are dropped": ("early == CHUNK or #silent == CHUNK or", ""),
    "the clock set back stops the bucket": ("if tonumber(state.tokens_at or 0) > now then", "if false then"),
    "who was heard of in the future stays": ("early = math.max(early, #users)", "users = {}"),
}


@pytest.mark.long
@pytest.mark.parametrize("fault", BROKEN)
def test_the_machine_finds(fault: str, run_machine: RunMachine) -> None:
    with pytest.raises(AssertionError):
        run_machine(BROKEN[fault])
