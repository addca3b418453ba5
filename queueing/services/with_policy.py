"""Calls of the store, with the policy from PostgreSQL if Redis does not know it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from kernel.redis.client import RedisUnavailable
from queueing import draws
from queueing.errors import WaitingRoomUnavailable
from queueing.models import QueueDraw
from queueing.selectors import Policy, policy_of
from queueing.store import PolicyFields, PolicyUnknown

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def with_policy(
    operation: Callable[Concatenate[UUID, PolicyFields | None, Arguments], Result],
    event_id: UUID,
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """The result of an operation of `queueing.store`, one round trip if Redis knows the policy. Raises EventNotFound."""
    try:
        return operation(event_id, None, *args, **kwargs)
    except PolicyUnknown:
        return operation(event_id, read_policy(event_id).as_fields(), *args, **kwargs)


def read_policy(event_id: UUID) -> Policy:
    """The policy; one with an opening time always has a seed, by whatever means the time was set. Raises EventNotFound."""
    policy = policy_of(event_id)
    if policy.opens_at is None or policy.seed:
        return policy
    commit_to_seed(event_id)
    return policy_of(event_id)


def commit_to_seed(event_id: UUID) -> None:
    QueueDraw.objects.get_or_create(event_id=event_id, defaults={"seed": draws.new_seed()})


@contextmanager
def needs_redis() -> Iterator[None]:
    """As a decorator: without Redis nobody knows who waits and who is active. Raises WaitingRoomUnavailable."""
    try:
        yield
    except RedisUnavailable as error:
        raise WaitingRoomUnavailable from error
