"""Reading queues without checking in."""

from collections.abc import Sequence
from uuid import UUID

from queueing import store
from queueing.estimates import Estimate, estimate_wait
from queueing.services.with_policy import needs_redis, with_policy
from queueing.states import QueueState


@needs_redis()
def get_queue_state(*, event_id: UUID) -> QueueState:
    """How many wait and are active. Raises EventNotFound or WaitingRoomUnavailable."""
    return with_policy(store.look, event_id)


@needs_redis()
def get_positions(*, event_id: UUID, users: Sequence[str]) -> tuple[QueueState, list[int]]:
    """Positions of users with open connections: see `store.positions`. Raises EventNotFound, WaitingRoomUnavailable."""
    queue, positions = with_policy(store.positions, event_id, users=users)
    if any(positions) and not queue.has_rounds:
        store.activate_event(event_id)
    return queue, positions


def estimate_for_newcomer(queue: QueueState) -> Estimate:
    """The wait of a user who would join now."""
    return estimate_wait(queue._replace(position=queue.size + 1))
