"""What can be done in the waiting room. Redis decides who waits and who is in; the policy comes from PostgreSQL."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.errors import EventNotFound, NotOnSale
from events.models import Event
from kernel.db.sql import after_commit
from kernel.redis.client import RedisUnavailable
from queueing import draws, effects, waiting_room
from queueing.auditing import ROOM_RULES as ROOM_RULES
from queueing.auditing import inconsistencies as inconsistencies
from queueing.errors import LineClosed, NotAdmitted, OpeningIsOver, WaitingRoomUnavailable
from queueing.estimates import Estimate, estimate
from queueing.models import QueueDraw, QueuePolicy
from queueing.passes import give_pass, give_ticket, read_pass, read_ticket
from queueing.selectors import Policy, microseconds, policy_of
from queueing.waiting_room import AdmissionGuardedScript as AdmissionGuardedScript
from queueing.waiting_room import Fields, Found, LotNeeded, Mode, PolicyUnknown
from queueing.waiting_room import Visitor as Visitor

MAX_TICK_SECONDS = 0.7  # of the second until the next one
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def visitor(*, event_id: UUID, user_id: UUID, pass_: str = "", ticket: str = "") -> Visitor:
    """Who comes, with what was given to them to keep. What is not genuine counts as nothing."""
    return Visitor(
        user_id,
        read_pass(pass_, event_id, user_id) if pass_ else None,
        read_ticket(ticket, event_id, user_id) if ticket else None,
    )


# --- Those who come ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where somebody is. `pass_` for who is in, `ticket` and `wait` for who waits; empty and None otherwise."""

    found: Found
    pass_: str = ""
    ticket: str = ""
    wait: Estimate | None = None


def check(*, event_id: UUID, visitor: Visitor) -> Standing:
    """Lets the visitor in if nobody waits and there is room, else gives a place in line; twice is the same as once.

    Raises EventNotFound, LineClosed or WaitingRoomUnavailable.
    """
    found = _visit(event_id, visitor, "check")
    if found.state == "closed":
        raise LineClosed
    return _standing(event_id, visitor, found)


def status(*, event_id: UUID, visitor: Visitor) -> Standing:
    """Where the visitor is; keeps the place or the admission alive. Raises EventNotFound or WaitingRoomUnavailable."""
    return _standing(event_id, visitor, _visit(event_id, visitor, "status"))


def follow(*, event_id: UUID, users: Sequence[str]) -> tuple[Found, list[int]]:
    """Where many users are whose sockets are open: `waiting_room.follow`. Raises EventNotFound, WaitingRoomUnavailable."""
    with _needing_redis():
        found, positions = _knowing_the_policy(event_id, lambda policy: waiting_room.follow(event_id, users, policy))
        if any(positions) and not found.is_ticking:
            waiting_room.look_after(event_id)
    return found, positions


def leave(*, event_id: UUID, user_id: UUID) -> None:
    """Gives up the place, in line or inside. Raises EventNotFound or WaitingRoomUnavailable."""
    with _needing_redis():
        _knowing_the_policy(event_id, lambda policy: waiting_room.leave(event_id, user_id, policy=policy))


def end_admission(*, event_id: UUID, user_id: UUID, cause: Literal["bought", "cancelled"]) -> None:
    """Somebody inside is done; the place is free for the next. Safe to lose: an admission runs out by itself."""
    with suppress(PolicyUnknown, RedisUnavailable):
        waiting_room.leave(event_id, user_id, cause)


def _standing(event_id: UUID, visitor: Visitor, found: Found) -> Standing:
    match found.state:
        case "active":
            return Standing(found=found, pass_=give_pass(event_id, visitor.user_id, found))
        case "waiting":
            ticket = give_ticket(event_id, visitor.user_id, found)
            return Standing(found=found, ticket=ticket, wait=estimate(found))
    return Standing(found=found)


def _visit(event_id: UUID, visitor: Visitor, mode: Mode) -> Found:
    def visit(policy: Fields | None) -> Found:
        try:
            return waiting_room.visit(event_id, visitor, mode, _known_lot(event_id, visitor.user_id), policy)
        except LotNeeded as needed:
            if len(_seeds) >= MAX_SEEDS:
                _seeds.clear()
            _seeds[event_id] = needed.seed
            return waiting_room.visit(event_id, visitor, mode, _known_lot(event_id, visitor.user_id), policy)

    with _needing_redis():
        found = _knowing_the_policy(event_id, visit)
        if found.asks_for_tick:
            waiting_room.look_after(event_id)
    return found


# A seed never changes, so that one lot is all that has to be computed when somebody comes before the opening.
MAX_SEEDS = 1000
_seeds: dict[UUID, str] = {}


def _known_lot(event_id: UUID, user_id: UUID) -> int | None:
    seed = _seeds.get(event_id)
    return draws.lot(seed, draws.code(event_id, user_id)) if seed else None


def _knowing_the_policy(event_id: UUID, call: Callable[[Fields | None], Result]) -> Result:
    """`call(None)`; if Redis does not know the policy, again with it. Raises EventNotFound."""
    try:
        return call(None)
    except PolicyUnknown:
        return call(_policy_to_tell(event_id).as_fields())


def _policy_to_tell(event_id: UUID) -> Policy:
    """The policy, which has a seed if it has an opening time, by whatever means that was set. Raises EventNotFound."""
    policy = policy_of(event_id)
    if policy.opens_at is None or policy.seed:
        return policy
    _commit_to_a_seed(event_id)
    return policy_of(event_id)


def _commit_to_a_seed(event_id: UUID) -> None:
    QueueDraw.objects.get_or_create(event_id=event_id, defaults={"seed": draws.new_seed()})


@contextmanager
def _needing_redis() -> Iterator[None]:
    """Without Redis nobody knows who stands where: 503."""
    try:
        yield
    except RedisUnavailable as error:
        raise WaitingRoomUnavailable from error


# --- Those who want to buy --------------------------------------------------------------------------------------------


def run_if_admitted(
    door: AdmissionGuardedScript, *, event_id: UUID, visitor: Visitor, keys: Sequence[str], args: Sequence[Any]
) -> Any:
    """Runs the door's script for who is inside, or who is let in just now because nobody waits and there is room.

    Returns what the script returned. One round trip. Raises EventNotFound, NotOnSale, NotAdmitted; RedisUnavailable, and
    then see `require_pass`.
    """
    found, result = _knowing_the_policy(
        event_id, lambda policy: door(event_id, visitor, keys=keys, args=args, policy=policy)
    )
    if found.state in ("active", "off"):
        if found.asks_for_tick:
            waiting_room.look_after(event_id)
        return result
    if found.state == "closed" or not found.sale_from <= found.now < found.sale_to:
        raise NotOnSale
    raise NotAdmitted


def require_pass(*, event_id: UUID, visitor: Visitor) -> None:
    """Whether somebody may buy while Redis does not answer: with a pass. Raises EventNotFound, WaitingRoomUnavailable."""
    policy = policy_of(event_id)
    proof = visitor.admission
    if not policy.is_on:
        return
    now = time.time() * 1_000_000
    if proof is None or (proof.value or 0) <= now or proof.issued <= microseconds(policy.cleared_at):
        raise WaitingRoomUnavailable


# --- The clock --------------------------------------------------------------------------------------------------------


def admit() -> dict[str, int]:
    """Every second: drops the dead and lets in the next, for all events that have a line. Returns how many, if any.

    An event that can not be ticked is logged and does not stop the others. Raises RedisUnavailable.
    """
    give_up = time.monotonic() + MAX_TICK_SECONDS
    admitted = 0
    for event_id in waiting_room.events():
        try:
            admitted += _tick(event_id, give_up)
        except RedisUnavailable:
            raise
        except EventNotFound:
            waiting_room.look_no_longer_after(event_id)
        except Exception:
            logger.exception("event %s can not be ticked", event_id)
    return {"admitted": admitted} if admitted else {}


def _tick(event_id: UUID, give_up: float) -> int:
    admitted: list[tuple[str, int, int]] = []
    while True:
        tick = _knowing_the_policy(event_id, lambda policy: waiting_room.admit(event_id, policy))
        admitted += tick.admitted
        if not tick.again or time.monotonic() > give_up:
            break
    effects.line_moved(event_id, tick, admitted)
    if tick.policy_is_old:
        effects.policy_is_old(event_id)
    if tick.draw_is_due:
        effects.draw_was_held(event_id)
    if tick.nobody_is_left:
        waiting_room.look_no_longer_after(event_id)
    return len(admitted)


# --- Administrators ---------------------------------------------------------------------------------------------------


def overview(*, event_id: UUID) -> Found:
    """How many wait and are inside. Raises EventNotFound or WaitingRoomUnavailable."""
    with _needing_redis():
        return _knowing_the_policy(event_id, lambda policy: waiting_room.look(event_id, policy))


def wait_at_the_end(found: Found) -> Estimate:
    """Of somebody who would join now."""
    return estimate(found._replace(position=found.size + 1))


def clear(*, event_id: UUID) -> tuple[int, int]:
    """Sends everybody away, from the line and the inside; passes and tickets given before are void.

    Returns how many stood in line, and how many were inside. Raises EventNotFound or WaitingRoomUnavailable.
    """
    policy_of(event_id)
    QueuePolicy.objects.update_or_create(event_id=event_id, defaults={"cleared_at": Now()})
    refresh_policy(event_id=event_id)
    with _needing_redis():
        gone = _knowing_the_policy(event_id, lambda policy: waiting_room.clear(event_id, policy))
    effects.line_was_cleared(event_id)
    return gone


def change_policy(*, event_id: UUID, changes: Mapping[str, Any]) -> Policy:
    """Changes columns of the event's policy; None is back to the default. Counts from the next call to Redis on.

    Raises EventNotFound or OpeningIsOver.
    """
    with transaction.atomic():
        event = Event.objects.select_for_update(no_key=True).filter(id=event_id).first()
        if event is None:
            raise EventNotFound
        before = QueuePolicy.objects.filter(event_id=event_id).first()
        if "opens_at" in changes:
            refuse_late_opening(
                event_id=event_id, before=before.opens_at if before else None, after=changes["opens_at"]
            )
        QueuePolicy.objects.update_or_create(event_id=event_id, defaults=dict(changes))
        policy_was_saved(event_id=event_id)
    return policy_of(event_id)


def refuse_late_opening(*, event_id: UUID, before: Any, after: Any) -> None:
    """Once the line has opened, its opening time stays. Raises OpeningIsOver."""
    has_draw = QueueDraw.objects.filter(event_id=event_id).exists()
    if has_draw and before != after and before is not None and before <= timezone.now():
        raise OpeningIsOver


def policy_was_saved(*, event_id: UUID) -> None:
    """After any change of the policy's row, in its transaction: commits to a seed if places are to be drawn; tells Redis."""
    if QueuePolicy.objects.filter(event_id=event_id, opens_at__isnull=False).exists():
        _commit_to_a_seed(event_id)
    after_commit(refresh_policy, event_id=event_id)


def refresh_policy(*, event_id: UUID) -> None:
    """Tells Redis the policy anew, if it knows one; as soon as it answers."""
    with suppress(EventNotFound):
        waiting_room.renew_policy(event_id, _policy_to_tell(event_id).as_fields())


# --- The draw ---------------------------------------------------------------------------------------------------------


def record_draw(*, event_id: UUID) -> int:
    """Makes the draw durable, which also lets its seed be shown. Twice is the same as once. Returns how many took part.

    A draw for an opening that was moved meanwhile does not count: there will be another.
    """
    opening, participants = waiting_room.drawn(event_id)
    if not opening:
        return 0
    if opening == microseconds(policy_of(event_id).opens_at):
        codes = b"".join(draws.code(event_id, user_id) for user_id in participants)
        QueueDraw.objects.filter(event_id=event_id, drawn_at__isnull=True).update(participants=codes, drawn_at=Now())
    waiting_room.draw_was_recorded(event_id)
    return len(participants)
