"""Swapping and dropping seats of a pending reservation, which keeps its deadline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from events.errors import NotOnSale
from events.selectors import IS_ON_SALE
from kernel.db.sql import after_commit, fetch_all, fetch_one, violated_constraint
from kernel.errors import DomainError
from outbox import sql as outbox
from outbox.models import MessageKind
from queueing.services import Visitor
from reservations import effects
from reservations.errors import (
    AlreadyCancelled,
    AlreadyExpired,
    AlreadyPaid,
    AmountTooLarge,
    PaymentInProgress,
    ReservationNotFound,
    SeatStatusDiffers,
)
from reservations.models import MAX_AMOUNT, Reservation
from reservations.selectors import IS_BEING_PAID, IS_OVERDUE
from reservations.services import buyer_limits, offering
from reservations.services.releasing import expire_holders
from reservations.services.reserving_seats import ReservedSeats
from seats import services as seats
from seats.errors import OrphanSeats, SeatNotFound, SeatTaken, TooManySeats
from seats.models import Seat

Status = Reservation.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatsHeld:
    """The seats of a reservation, as they were when it was read."""

    reservation_id: UUID
    event_id: UUID
    seat_ids: frozenset[UUID]


_CHANGED = outbox.record(
    "changed r",
    kinds=outbox.kinds(MessageKind.RESERVATION_CHANGED),
    subject="r.id",
    event="r.event_id",
    data=outbox.reservation_data(
        "r",
        items="""(SELECT jsonb_agg(jsonb_build_object(
            'seatId', p.id, 'ticketTypeId', NULL, 'quantity', 1, 'unitPrice', p.price)) FROM picked p WHERE p.is_wanted)""",
    ),
)

_ACCEPTABLE = f"""(e.is_on_sale OR NOT EXISTS (SELECT FROM taken)) AND v.all_found AND v.all_available AND v.all_held
      AND cardinality(%(seat_ids)s::uuid[]) <= v.held AND v.total <= {MAX_AMOUNT} AND EXISTS (SELECT FROM dropped)"""

# One round trip. No item is added: those of dropped seats get the seats that are taken, and the rest is deleted. So whoever
# has waited for the reservation and then locks its items has all of them as they are now. Seats are locked in id order,
# those that are dropped and those that are taken together.
_CHANGE = f"""
WITH target AS MATERIALIZED (
    SELECT id, event_id, reservation_number, status, expires_at, {IS_OVERDUE} AS is_overdue,
           {IS_BEING_PAID} AS is_being_paid, status = 'pending' AND NOT {IS_OVERDUE} AND NOT {
    IS_BEING_PAID
} AS may_change
    FROM reservations WHERE id = %(reservation_id)s AND user_id = %(user_id)s FOR UPDATE
),
event AS MATERIALIZED (
    SELECT {IS_ON_SALE} AS is_on_sale, {buyer_limits.MAX_TICKETS}, e.forbids_orphan_seats, {offering.EVENT_COLUMN}
    FROM events e WHERE e.id = %(event_id)s
),
item AS MATERIALIZED (
    SELECT i.id, i.seat_id, i.unit_price, i.subtotal FROM reservation_items i JOIN target t ON t.id = i.reservation_id
    WHERE i.is_live AND t.may_change FOR UPDATE OF i
),
picked AS MATERIALIZED (
    SELECT s.id, s.seat_label, coalesce(own.unit_price, s.price) AS price, s.status, own.id IS NOT NULL AS is_own,
           s.id = ANY(%(seat_ids)s::uuid[]) AS is_wanted
    FROM seats s LEFT JOIN item own ON own.seat_id = s.id
    WHERE s.id = ANY(%(seat_ids)s::uuid[] || ARRAY(SELECT seat_id FROM item))
      AND s.event_id IS NOT DISTINCT FROM %(event_id)s
    ORDER BY s.id FOR UPDATE OF s
),
dropped AS MATERIALIZED (
    SELECT i.id AS item_id, i.seat_id, row_number() OVER (ORDER BY i.id) AS place
    FROM item i WHERE i.seat_id <> ALL(%(seat_ids)s::uuid[])
),
taken AS MATERIALIZED (
    SELECT p.id, p.price, row_number() OVER (ORDER BY p.id) AS place FROM picked p WHERE p.is_wanted AND NOT p.is_own
),
verdict AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE is_wanted) = cardinality(%(seat_ids)s::uuid[]) AS all_found,
           coalesce(bool_and(status = 'available') FILTER (WHERE NOT is_own), true) AS all_available,
           coalesce(bool_and(status = 'locked') FILTER (WHERE is_own), true) AS all_held,
           count(*) FILTER (WHERE is_own) AS held, 0 AS quantity,
           least(
               (SELECT coalesce(sum(i.subtotal), 0) FROM item i WHERE i.id NOT IN (SELECT item_id FROM dropped))
               + (SELECT coalesce(sum(price), 0) FROM taken),
               {MAX_AMOUNT + 1}
           )::bigint AS total
    FROM picked
),
refused AS MATERIALIZED (
    SELECT orphans FROM (
        SELECT orphans_left(%(event_id)s, %(seat_ids)s::uuid[], ARRAY(SELECT seat_id FROM item)) AS orphans
        FROM verdict v, event e WHERE e.forbids_orphan_seats AND EXISTS (SELECT FROM taken) AND {_ACCEPTABLE}
    ) judged WHERE orphans IS NOT NULL
),
{
    offering.asked_for(
        seats="ARRAY(SELECT id FROM picked WHERE is_wanted AND NOT is_own AND status = 'available')",
        condition="event e WHERE e.has_waitlist AND e.is_on_sale AND EXISTS (SELECT FROM target WHERE may_change)",
        also_releases=True,
    )
},
{
    buyer_limits.buyer(
        seat_ids="ARRAY(SELECT id FROM taken)",
        condition=f"{_ACCEPTABLE} AND NOT EXISTS (SELECT FROM refused) AND {offering.NONE_OFFERED}",
    )
},
changed AS (
    UPDATE reservations r SET total_amount = v.total, updated_at = now(),
        dropped_seats = coalesce(r.dropped_seats, '{{}}') || (SELECT jsonb_object_agg(seat_id, now()) FROM dropped)
    FROM target t, verdict v, buyer b WHERE r.id = t.id AND (b.record).closed_seat IS NULL
    RETURNING r.*
),
moved AS (
    UPDATE reservation_items i SET seat_id = taken.id, unit_price = taken.price, subtotal = taken.price
    FROM changed, dropped d JOIN taken USING (place) WHERE i.id = d.item_id
    RETURNING 1
),
removed AS (
    DELETE FROM reservation_items i USING changed, dropped d
    WHERE i.id = d.item_id AND d.place > (SELECT count(*) FROM taken)
    RETURNING 1
),
released AS (
    UPDATE seats s SET status = 'available', updated_at = now() FROM changed, dropped d WHERE s.id = d.seat_id
    RETURNING s.id, s.event_id, nextval('change_number') AS change
),
locked AS (
    UPDATE seats s SET status = 'locked', updated_at = now() FROM changed, taken WHERE s.id = taken.id
    RETURNING s.id, nextval('change_number') AS change
),
{_CHANGED},
{
    offering.released(
        seats="released", types=None, after=("changed", "moved", "removed", "locked"), name="offered_dropped"
    )
}
SELECT (SELECT to_jsonb(target) FROM target) AS target, e.is_on_sale, v.all_found, v.all_available, v.all_held, v.held,
       v.total, t.expires_at, r.id AS reservation_id, EXISTS (SELECT FROM dropped) AS has_dropped,
       EXISTS (SELECT FROM taken) AS has_taken,
       (SELECT jsonb_agg(to_jsonb(p)) FROM picked p WHERE p.is_wanted) AS seats,
       (SELECT coalesce(jsonb_object_agg(id, change), '{{}}') FROM released) AS released,
       (SELECT coalesce(jsonb_object_agg(id, change), '{{}}') FROM locked) AS locked, {buyer_limits.RECORD},
       (SELECT orphans FROM refused) AS orphans,
       (SELECT jsonb_agg(offers) FROM (TABLE offered UNION ALL TABLE offered_dropped) o WHERE offers IS NOT NULL) AS offers,
       NOT v.all_available AND EXISTS (
           SELECT FROM reservation_items i JOIN reservations h ON h.id = i.reservation_id
           WHERE i.seat_id IN (SELECT id FROM taken) AND i.is_live AND h.status = 'pending' AND h.deadline <= now()
       ) AS hold_is_overdue
FROM verdict v LEFT JOIN event e ON true LEFT JOIN target t ON true LEFT JOIN changed r ON true
"""

_HELD = """
SELECT r.event_id, array_remove(array_agg(i.seat_id), NULL) AS seat_ids
FROM reservations r LEFT JOIN reservation_items i ON i.reservation_id = r.id AND i.is_live
WHERE r.id = %(reservation_id)s AND r.user_id = %(user_id)s AND r.event_id IS NOT NULL GROUP BY r.id
"""


def seats_held(*, user_id: UUID, reservation_id: UUID) -> SeatsHeld:
    """A buyer's reservation, before seats of it are changed. Raises ReservationNotFound, also for another buyer's."""
    rows = fetch_all(_HELD, {"user_id": user_id, "reservation_id": reservation_id})
    if not rows:
        raise ReservationNotFound
    return SeatsHeld(
        reservation_id=reservation_id, event_id=rows[0]["event_id"], seat_ids=frozenset(rows[0]["seat_ids"])
    )


def change_seats(*, buyer: Visitor, held: SeatsHeld, seat_ids: Sequence[UUID]) -> ReservedSeats:
    """Gives a pending reservation exactly these seats, no more than it has, or changes nothing. Idempotent.

    Seats that it has are kept, the others of `seat_ids` are taken, and the rest is dropped. Raises ReservationNotFound,
    AlreadyCancelled, AlreadyExpired, AlreadyPaid, PaymentInProgress, TooManySeats, NotOnSale (if seats are taken),
    SeatNotFound, SeatTaken, SeatStatusDiffers, AmountTooLarge, OrphanSeats, SeatRecentlyReleased, and, if seats are taken,
    what `seats.services.acquire_locks` raises.
    """
    seat_ids = list(dict.fromkeys(seat_ids))
    wanted = {
        **buyer_limits.parameters(),
        **offering.parameters(),
        "reservation_id": held.reservation_id,
        "user_id": buyer.user_id,
        "event_id": held.event_id,
        "seat_ids": seat_ids,
        "seconds": 0,
    }
    # The pass of the waiting room is for those who take seats.
    taken = [seat_id for seat_id in seat_ids if seat_id not in held.seat_ids]
    if not taken:
        return _publish(held.event_id, seat_ids, _change(wanted), locks=None)
    locks = seats.acquire_locks(event_id=held.event_id, buyer=buyer, seat_ids=taken)
    with locks.released_on_failure():
        row = _change(wanted)
    return _publish(held.event_id, seat_ids, row, locks=locks)


def _change(wanted: dict[str, Any]) -> dict[str, Any]:
    """One statement; two more when a hold past its deadline is in the way, one more when others wait for the seats."""
    fetch = partial(_fetch, wanted)
    row = offering.fetch_unoffered(fetch)
    if row["hold_is_overdue"]:
        expire_holders(seat_ids=wanted["seat_ids"])
        row = offering.fetch_unoffered(fetch)
    if row["reservation_id"] is None and (rejection := _rejection(row, wanted["seat_ids"])) is not None:
        raise rejection
    return row


def _fetch(wanted: dict[str, Any]) -> dict[str, Any]:
    try:
        return fetch_one(_CHANGE, wanted)
    except IntegrityError as error:
        if violated_constraint(error) != "seat_in_one_live_reservation":
            raise
        labels = Seat.objects.filter(id__in=wanted["seat_ids"], items__is_live=True, status=Seat.Status.AVAILABLE)
        raise SeatTaken(label=labels.values_list("seat_label", flat=True)[0]) from error


def _rejection(row: Mapping[str, Any], seat_ids: Sequence[UUID]) -> DomainError | None:
    """Why nothing was changed; None if the reservation has these seats already."""
    target = row["target"]
    if target is None:
        return ReservationNotFound()
    if target["status"] == Status.CONFIRMED:
        return AlreadyPaid()
    if target["status"] == Status.CANCELLED:
        return AlreadyCancelled()
    if target["is_overdue"] or target["status"] == Status.EXPIRED:
        return AlreadyExpired()
    if target["is_being_paid"]:
        return PaymentInProgress()
    if row["has_taken"] and not row["is_on_sale"]:
        return NotOnSale()
    if len(seat_ids) > row["held"]:
        return TooManySeats(most=row["held"])
    if not row["all_found"]:
        return SeatNotFound()
    found = {UUID(seat["id"]): seat for seat in row["seats"]}
    unavailable = {
        seat_id: found[seat_id]["seat_label"]
        for seat_id in seat_ids
        if not found[seat_id]["is_own"] and found[seat_id]["status"] != Seat.Status.AVAILABLE
    }
    if unavailable:
        return SeatTaken(label=next(iter(unavailable.values())))
    if not row["all_held"]:
        return SeatStatusDiffers()
    if row["total"] > MAX_AMOUNT:
        return AmountTooLarge()
    if row["orphans"] is not None:
        return OrphanSeats(**row["orphans"])
    labels = {seat_id: seat["seat_label"] for seat_id, seat in found.items()}
    return buyer_limits.rejection(row, quantity=0, labels=labels)


def _publish(
    event_id: UUID, seat_ids: Sequence[UUID], row: Mapping[str, Any], *, locks: seats.SeatLocks | None
) -> ReservedSeats:
    released, locked = (
        {UUID(seat_id): change for seat_id, change in row[name].items()} for name in ("released", "locked")
    )
    offered = offering.offered_seats(row)
    left = {seat_id: change for seat_id, change in released.items() if seat_id not in offered}
    after_commit(effects.seats_were_swapped, event_id=event_id, released=left, locked=locked, locks=locks)
    offering.publish_offers(row)
    by_id = {UUID(seat["id"]): seat for seat in row["seats"]}
    return ReservedSeats(
        reservation_id=UUID(row["target"]["id"]),
        number=row["target"]["reservation_number"],
        total_amount=row["total"],
        expires_at=row["expires_at"],
        seats=[by_id[seat_id] for seat_id in seat_ids],
        changes={**released, **locked},
    )
