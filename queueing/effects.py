"""What follows from a tick. Everything here is safe to lose: the next tick asks again."""

from uuid import UUID

from kernel.jobs import enqueue


def policy_is_old(event_id: UUID) -> None:
    enqueue("queueing.tasks.refresh_policy", expires=10, event_id=str(event_id))


def draw_was_held(event_id: UUID) -> None:
    enqueue("queueing.tasks.record_draw", expires=1, event_id=str(event_id))
