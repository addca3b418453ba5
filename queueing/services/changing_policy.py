"""Changes of an event's policy by administrators."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from events.errors import EventNotFound
from events.models import Event
from kernel.db.sql import after_commit
from queueing import store
from queueing.errors import QueueAlreadyOpen
from queueing.models import QueueDraw, QueuePolicy
from queueing.selectors import Policy, policy_of
from queueing.services.with_policy import commit_to_seed, read_policy


def change_policy(*, event_id: UUID, changes: Mapping[str, Any]) -> Policy:
    """Changes columns of the event's policy; None restores the default. Applies from the next call to Redis on.

    Raises EventNotFound or QueueAlreadyOpen.
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
    """Once the queue has opened, its opening time stays. Raises QueueAlreadyOpen."""
    has_draw = QueueDraw.objects.filter(event_id=event_id).exists()
    if has_draw and before != after and before is not None and before <= timezone.now():
        raise QueueAlreadyOpen


def policy_was_saved(*, event_id: UUID) -> None:
    """After any change of the policy's row, in its transaction: commits to a seed if there is an opening, updates Redis."""
    if QueuePolicy.objects.filter(event_id=event_id, opens_at__isnull=False).exists():
        commit_to_seed(event_id)
    after_commit(refresh_policy, event_id=event_id)


def refresh_policy(*, event_id: UUID) -> None:
    """Replaces the policy in Redis, if Redis knows one; if it is away, as soon as it is back."""
    with suppress(EventNotFound):
        store.replace_policy(event_id, read_policy(event_id).as_fields())
