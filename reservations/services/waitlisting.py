"""Joining the waiting list of an event, and leaving it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from events.errors import EventNotFound, NotOnSale
from events.selectors import IS_ON_SALE
from kernel.db.sql import fetch_all, fetch_one
from kernel.errors import DomainError
from kernel.redis.rate_limits import RateLimit
from reservations.errors import (
    AlreadyExpired,
    NotWaiting,
    OfferIsOpen,
    PlacesAvailable,
    TicketLimitReached,
    WaitingAlready,
    WaitlistOff,
)
from reservations.models import WaitlistEntry
from reservations.selectors import WaitlistPosition, waitlist_position
from reservations.services import buyer_limits
from reservations.services.releasing import decline_offer
from reservations.services.reserving_seats import MAX_SEATS
from seats.errors import SectionNotFound, TooManySeats
from tickets.errors import NoSuchTicket

WAITLIST = RateLimit("waitlist", "RATE_LIMIT_WAITLIST")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitlistWish:
    """What somebody waits for: seats of a section, tickets of a type, or, without either, whatever the event has."""

    quantity: int
    section: str | None = None
    ticket_type_id: UUID | None = None


# Joining takes turns with whoever makes offers for the event: a list has one order, and nobody who joins is overlooked.
# The ticket type comes first: the entry refers to it, and whoever holds its row waits for the turn.
_LOCK = """
WITH referred AS MATERIALIZED (SELECT id FROM ticket_types WHERE id = %(ticket_type_id)s::uuid FOR KEY SHARE)
SELECT pg_advisory_xact_lock(uuid_hash_extended(%(event_id)s::uuid, 1)) FROM (SELECT count(*) FROM referred) first
"""

_JOIN = f"""
WITH event AS MATERIALIZED (
    SELECT e.id, {IS_ON_SALE} AS is_on_sale, e.has_waitlist,
           {buyer_limits.MAX_TICKETS}, {MAX_SEATS},
           EXISTS (
               SELECT FROM seats s WHERE s.event_id = e.id AND s.section = coalesce(%(section)s::text, s.section)
           ) AS has_seats,
           EXISTS (
               SELECT FROM ticket_types t WHERE t.event_id = e.id AND t.id = coalesce(%(ticket_type_id)s::uuid, t.id)
           ) AS has_tickets
    FROM events e WHERE e.id = %(event_id)s
),
found AS MATERIALIZED (
    SELECT e.*,
           (SELECT to_jsonb(w) FROM waitlist_entries w
            WHERE w.event_id = e.id AND w.user_id = %(user_id)s AND w.status = 'waiting') AS waiting,
           EXISTS (
               SELECT FROM waitlist_entries w JOIN reservations r ON r.id = w.reservation_id
               WHERE w.event_id = e.id AND w.user_id = %(user_id)s AND r.status = 'pending' AND r.deadline > now()
           ) AS has_offer,
           (SELECT coalesce(sum(i.quantity), 0) FROM reservations r JOIN reservation_items i ON i.reservation_id = r.id
            WHERE r.user_id = %(user_id)s AND r.event_id = e.id AND i.is_live
              AND (r.status = 'confirmed' OR r.deadline > now())) AS held,
           %(ticket_type_id)s::uuid IS NULL AND %(quantity)s <= (
               SELECT count(*) FROM (
                   SELECT FROM seats s WHERE s.event_id = e.id AND s.status = 'available'
                       AND s.section = coalesce(%(section)s::text, s.section) LIMIT %(quantity)s
               ) free
           ) OR %(section)s::text IS NULL AND EXISTS (
               SELECT FROM ticket_types t WHERE t.event_id = e.id AND t.id = coalesce(%(ticket_type_id)s::uuid, t.id)
                   AND t.available_quantity >= %(quantity)s
           ) AS is_available
    FROM event e
),
joined AS (
    INSERT INTO waitlist_entries (event_id, user_id, quantity, section, ticket_type_id)
    SELECT f.id, %(user_id)s, %(quantity)s, %(section)s::text, %(ticket_type_id)s::uuid FROM found f
    WHERE f.is_on_sale AND f.has_waitlist AND f.waiting IS NULL AND NOT f.has_offer AND NOT f.is_available
      AND CASE WHEN %(ticket_type_id)s::uuid IS NOT NULL THEN f.has_tickets
               WHEN %(section)s::text IS NOT NULL THEN f.has_seats ELSE f.has_seats OR f.has_tickets END
      AND (%(ticket_type_id)s::uuid IS NOT NULL OR NOT f.has_seats OR %(quantity)s <= f.max_seats)
      AND f.held + %(quantity)s <= f.max_tickets
    RETURNING id
)
SELECT f.*, (SELECT id FROM joined) AS joined FROM found f
"""

# The lock comes before the write, whatever the order of reading: the row is then read again.
_LEAVE = """
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(uuid_hash_extended(%(event_id)s::uuid, 1)) AS taken),
gone AS (
    UPDATE waitlist_entries w SET status = 'left', updated_at = now() FROM turn
    WHERE w.event_id = %(event_id)s AND w.user_id = %(user_id)s AND w.status = 'waiting' AND turn.taken IS NOT NULL
    RETURNING w.id
)
SELECT count(*) AS gone FROM gone
"""


def join_waitlist(*, user_id: UUID, event_id: UUID, wish: WaitlistWish) -> WaitlistPosition:
    """Puts the buyer at the end of the list. Idempotent for the same wish.

    Raises RateLimited, EventNotFound, NotOnSale, WaitlistOff, SectionNotFound, NoSuchTicket, TooManySeats, OfferIsOpen,
    WaitingAlready (for another wish), PlacesAvailable or TicketLimitReached.
    """
    WAITLIST.spend(str(user_id))
    wanted = {
        "user_id": user_id,
        "event_id": event_id,
        "quantity": wish.quantity,
        "section": wish.section,
        "ticket_type_id": wish.ticket_type_id,
        "max_tickets": settings.MAX_TICKETS_PER_BUYER,
        "max_seats": settings.MAX_SEATS_PER_RESERVATION,
    }
    with transaction.atomic():
        fetch_one(_LOCK, wanted)
        rows = fetch_all(_JOIN, wanted)
    if not rows:
        raise EventNotFound
    if rows[0]["joined"] is None and (rejection := _rejection(rows[0], wish)) is not None:
        raise rejection
    return waitlist_position(user_id=user_id, event_id=event_id)


def leave_waitlist(*, user_id: UUID, event_id: UUID) -> None:
    """Gives up the position, or the offer that has come meanwhile: whoever has left holds nothing that is unpaid of it.

    Raises NotWaiting, or PaymentInProgress when the offer is being paid.
    """
    if fetch_one(_LEAVE, {"user_id": user_id, "event_id": event_id})["gone"]:
        return
    position = waitlist_position(user_id=user_id, event_id=event_id)
    if position.reservation_id is None or position.state != WaitlistEntry.Status.OFFERED:
        raise NotWaiting
    try:
        decline_offer(user_id=user_id, reservation_id=position.reservation_id)
    except AlreadyExpired:
        raise NotWaiting from None


def _rejection(row: Mapping[str, Any], wish: WaitlistWish) -> DomainError | None:
    """Why nobody has joined; None if this buyer waits for the same already."""
    if not row["is_on_sale"]:
        return NotOnSale()
    if not row["has_waitlist"]:
        return WaitlistOff()
    if wish.ticket_type_id is not None and not row["has_tickets"]:
        return NoSuchTicket()
    if wish.ticket_type_id is None and not row["has_seats"] and (wish.section is not None or not row["has_tickets"]):
        return SectionNotFound()
    if wish.ticket_type_id is None and row["has_seats"] and wish.quantity > row["max_seats"]:
        return TooManySeats(most=row["max_seats"])
    if row["has_offer"]:
        return OfferIsOpen()
    if (waiting := row["waiting"]) is not None:
        type_id = wish.ticket_type_id and str(wish.ticket_type_id)
        is_same = (waiting["quantity"], waiting["section"], waiting["ticket_type_id"]) == (
            wish.quantity,
            wish.section,
            type_id,
        )
        return None if is_same else WaitingAlready()
    if row["held"] + wish.quantity > row["max_tickets"]:
        return TicketLimitReached(most=row["max_tickets"])
    return PlacesAvailable()
