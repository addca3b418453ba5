"""Users who leave the queue, or give up their admission."""

from uuid import UUID

from kernel.redis.client import RedisUnavailable
from queueing import store
from queueing.services.with_policy import needs_redis, with_policy


@needs_redis()
def leave(*, event_id: UUID, user_id: UUID) -> None:
    """Gives up the position or the admission. Raises EventNotFound or WaitingRoomUnavailable: then it is done later."""
    try:
        with_policy(store.leave, event_id, user_id=user_id)
    except RedisUnavailable:
        store.owe_leave(event_id, user_id=user_id, cause="left")
        raise
