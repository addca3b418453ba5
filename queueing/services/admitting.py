"""Admission rounds, every second."""

import logging
import time
from uuid import UUID

from django.db import InterfaceError, OperationalError

from events.errors import EventNotFound
from kernel.errors import Outage
from kernel.redis.client import RedisUnavailable
from queueing import effects, store
from queueing.services.with_policy import with_policy
from queueing.states import Admission

MAX_SECONDS = 0.7  # of the second until the next call
logger = logging.getLogger(__name__)


def admit_next() -> dict[str, int]:
    """An admission round of every active event. Returns how many were admitted, if any.

    A failure in one event is logged, and does not stop the others. Raises RedisUnavailable.
    """
    deadline = time.monotonic() + MAX_SECONDS
    admitted = 0
    for event_id in store.active_events():
        try:
            admitted += _admit(event_id, deadline)
        except RedisUnavailable:
            raise
        except EventNotFound:
            store.deactivate_event(event_id)
        except (OperationalError, InterfaceError, Outage) as error:
            logger.warning("admission round of event %s: %s", event_id, error)
        except Exception:
            logger.exception("admission round of event %s failed", event_id)
    return {"admitted": admitted} if admitted else {}


def _admit(event_id: UUID, deadline: float) -> int:
    admitted: list[Admission] = []
    while True:
        last = with_policy(store.admit, event_id)
        admitted += last.admitted
        if not last.has_more or time.monotonic() > deadline:
            break
    effects.publish_round(event_id, last, admitted)
    if last.is_policy_stale:
        effects.enqueue_policy_refresh(event_id)
    if last.is_draw_due:
        effects.enqueue_draw_recording(event_id)
    if last.is_empty:
        store.deactivate_event(event_id)
    return len(admitted)
