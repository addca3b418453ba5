"""Removing everybody."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models.functions import Now

from queueing import effects, store
from queueing.models import QueuePolicy
from queueing.selectors import policy_of
from queueing.services.changing_policy import refresh_policy
from queueing.services.with_policy import needs_redis, with_policy


@needs_redis()
def clear_queue(*, event_id: UUID) -> tuple[int, int]:
    """Removes everybody from the queue and from the active users; passes and tickets issued before are void.

    Returns how many were waiting, and how many were active. Raises EventNotFound or WaitingRoomUnavailable.
    """
    policy_of(event_id)
    QueuePolicy.objects.update_or_create(event_id=event_id, defaults={"cleared_at": Now()})
    refresh_policy(event_id=event_id)
    waiting, active = with_policy(store.clear, event_id)
    effects.publish_cleared(event_id)
    return waiting, active


@needs_redis()
def take_cleared(*, event_id: UUID, users: Sequence[str]) -> bool:
    """Whether one of these users was removed by `clear_queue` in the last two minutes, and was not asked for since.

    Raises WaitingRoomUnavailable.
    """
    return store.take_cleared(event_id, users)
