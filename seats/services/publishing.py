"""Telling open seat maps, after the commit, what has changed. Everything here is safe to lose."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from events.selectors import event_cache_key
from kernel.redis.caching import lease_key
from seats import effects, realtime
from seats.locks import Hold, set_free, tell, tell_stock


def publish_locked(*, event_id: UUID, changes: Mapping[UUID, int], locks: Hold) -> None:
    """`changes`, here and below: the seats, and the number of each change. Lets go of the locks in the same round trip."""
    locks.let_go_and_tell(realtime.seats_changed("seat-locked", event_id=event_id, changes=changes), "reserved")


def publish_sold(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    tell(event_id, realtime.seats_changed("seat-sold", event_id=event_id, changes=changes), "paid")


def publish_released(*, event_id: UUID, changes: Mapping[UUID, int]) -> None:
    set_free(event_id, realtime.seats_changed("seat-released", event_id=event_id, changes=changes))


def publish_map_changed(*, event_id: UUID) -> None:
    """The seat map is another one, and can only be fetched."""
    tell(event_id, [])


def publish_stock(*, event_id: UUID, stock: Sequence[dict[str, Any]], reserved: int = 0) -> None:
    """`stock`: {id, available_quantity, total_quantity, change}; by so many new reservations. One round trip."""
    changes = realtime.stock_changed(event_id=event_id, stock=stock)
    cached = event_cache_key(event_id)
    tell_stock(event_id, changes, forget=[cached, lease_key(cached)], reserved=reserved)


def publish_event_saved(*, event_id: UUID) -> None:
    """After an organiser created or edited an event."""
    effects.event_was_saved(event_id=event_id)


def publish_status(*, event_id: UUID, status: str, change: int) -> None:
    effects.status_was_changed(event_id=event_id, status=status, change=change)
