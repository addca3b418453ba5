"""Invariants of seats, stock, reservations and payments: each check is a query that returns a row for each violation.

`{only}` in a query becomes the condition that its rows belong to one event, or true.
"""

# Checks read `reservations.status`, not `is_live`, so that they also find what the triggers have missed.

from dataclasses import dataclass
from datetime import datetime
from typing import Any

_LIVE = "r.status IN ('pending', 'confirmed')"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    rule: str
    event: str  # the column by which rows belong to an event
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one check. `rows` are the first of `count` violations, each with the ids to look it up."""

    check: str
    rule: str
    count: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The outcome of every check, as of one moment."""

    moment: datetime
    outcomes: list[Outcome]
    waiting_room_was_checked: bool

    @property
    def violations(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.count]


CHECKS = [
    Check(
        "seat_in_two_live_reservations",
        "a seat is in at most one live reservation",
        "s.event_id",
        f"""
        SELECT s.event_id, s.id AS seat_id, s.seat_label, s.status,
               jsonb_agg(jsonb_build_object('id', r.id, 'number', r.reservation_number, 'status', r.status) ORDER BY r.id)
               AS reservations
        FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id JOIN seats s ON s.id = i.seat_id
        WHERE {_LIVE} AND {{only}} GROUP BY s.id HAVING count(*) > 1
        """,
    ),
    Check(
        "seats_do_not_add_up",
        "an event's available seats, and those of pending and confirmed reservations, are all its seats",
        "s.event_id",
        f"""
        SELECT s.event_id, count(*) AS seats, count(*) FILTER (WHERE s.status = 'available') AS available,
               coalesce(sum(taken.locked), 0) AS locked, coalesce(sum(taken.sold), 0) AS sold
        FROM seats s LEFT JOIN (
            SELECT i.seat_id, count(*) FILTER (WHERE r.status = 'pending') AS locked,
                   count(*) FILTER (WHERE r.status = 'confirmed') AS sold
            FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
            WHERE i.seat_id IS NOT NULL AND {_LIVE} GROUP BY i.seat_id
        ) taken ON taken.seat_id = s.id
        WHERE {{only}} GROUP BY s.event_id
        HAVING count(*) <> count(*) FILTER (WHERE s.status = 'available')
                           + coalesce(sum(taken.locked), 0) + coalesce(sum(taken.sold), 0)
        """,
    ),
    Check(
        "seat_without_reservation",
        "a seat that is locked or sold belongs to a live reservation",
        "s.event_id",
        f"""
        SELECT s.event_id, s.id AS seat_id, s.seat_label, s.status FROM seats s
        WHERE s.status <> 'available' AND {{only}} AND NOT EXISTS (
            SELECT FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id WHERE i.seat_id = s.id AND {_LIVE}
        )
        """,
    ),
    Check(
        "seat_status_differs",
        "a seat is locked while its reservation is pending, and sold when it is confirmed",
        "s.event_id",
        f"""
        SELECT s.event_id, s.id AS seat_id, s.seat_label, s.status, r.id AS reservation_id, r.reservation_number,
               r.status AS reservation_status
        FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id JOIN seats s ON s.id = i.seat_id
        WHERE {_LIVE} AND s.status <> CASE r.status WHEN 'confirmed' THEN 'sold' ELSE 'locked' END AND {{only}}
        """,
    ),
    Check(
        "item_is_live_differs",
        "an item is live as long as its reservation is",
        "r.event_id",
        f"""
        SELECT r.event_id, i.id AS item_id, i.is_live, r.id AS reservation_id, r.status
        FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        WHERE i.is_live IS DISTINCT FROM ({_LIVE}) AND {{only}}
        """,
    ),
    Check(
        "item_of_another_event",
        "the seats and tickets of a reservation belong to its event",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, i.id AS item_id, i.seat_id, i.ticket_type_id,
               coalesce(s.event_id, t.event_id) AS belongs_to
        FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        LEFT JOIN seats s ON s.id = i.seat_id LEFT JOIN ticket_types t ON t.id = i.ticket_type_id
        WHERE (s.event_id <> r.event_id OR t.event_id <> r.event_id) AND {only}
        """,
    ),
    Check(
        "seat_twice",
        "section, row and number are those of one seat",
        "s.event_id",
        """
        SELECT s.event_id, s.section, s.row_number, s.seat_number, jsonb_agg(s.id ORDER BY s.id) AS seat_ids FROM seats s
        WHERE {only} GROUP BY s.event_id, s.section, s.row_number, s.seat_number HAVING count(*) > 1
        """,
    ),
    Check(
        "stock_differs",
        "available tickets, and those of live reservations, are all tickets",
        "t.event_id",
        f"""
        SELECT t.event_id, t.id AS ticket_type_id, t.name, t.total_quantity, t.available_quantity,
               coalesce(taken.quantity, 0) AS taken
        FROM ticket_types t LEFT JOIN (
            SELECT i.ticket_type_id, sum(i.quantity) AS quantity
            FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
            WHERE i.ticket_type_id IS NOT NULL AND {_LIVE} GROUP BY i.ticket_type_id
        ) taken ON taken.ticket_type_id = t.id
        WHERE t.total_quantity <> t.available_quantity + coalesce(taken.quantity, 0) AND {{only}}
        """,
    ),
    Check(
        "stock_out_of_range",
        "stock is between 0 and its total",
        "t.event_id",
        """
        SELECT t.event_id, t.id AS ticket_type_id, t.name, t.total_quantity, t.available_quantity FROM ticket_types t
        WHERE t.available_quantity NOT BETWEEN 0 AND t.total_quantity AND {only}
        """,
    ),
    Check(
        "subtotal_differs",
        "an item costs its price times its quantity; a seat has quantity 1, and no price is negative",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, i.id AS item_id, i.seat_id, i.quantity, i.unit_price, i.subtotal
        FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
        WHERE (i.subtotal <> i.quantity::bigint * i.unit_price OR i.quantity < 1 OR i.unit_price < 0
               OR (i.seat_id IS NOT NULL AND i.quantity <> 1)) AND {only}
        """,
    ),
    Check(
        "amount_differs",
        "a reservation costs what its items cost",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, r.reservation_number, r.status, r.total_amount,
               coalesce(items.subtotal, 0) AS of_items
        FROM reservations r LEFT JOIN (
            SELECT i.reservation_id, sum(i.subtotal) AS subtotal FROM reservation_items i GROUP BY i.reservation_id
        ) items ON items.reservation_id = r.id
        WHERE r.total_amount <> coalesce(items.subtotal, 0) AND {only}
        """,
    ),
    Check(
        "payment_status_differs",
        "a pending reservation is not paid, a confirmed one is; one that has ended keeps its payment only until the refund",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, r.reservation_number, r.status, r.payment_status, r.refund_due_at
        FROM reservations r WHERE {only} AND CASE r.status
            WHEN 'pending' THEN r.payment_status <> 'pending'
            WHEN 'confirmed' THEN r.payment_status <> 'completed'
            ELSE r.payment_status = 'completed' AND r.refund_due_at IS NULL END
        """,
    ),
    Check(
        "payment_used_twice",
        "a payment pays for one reservation",
        "r.event_id",
        """
        SELECT r.event_id, r.payment_id, r.id AS reservation_id, r.reservation_number, r.status FROM reservations r
        WHERE r.payment_id IN (
            SELECT payment_id FROM reservations WHERE payment_id IS NOT NULL GROUP BY payment_id HAVING count(*) > 1
        ) AND {only}
        """,
    ),
    Check(
        "number_used_twice",
        "a reservation number is used once",
        "r.event_id",
        """
        SELECT r.event_id, r.reservation_number, r.id AS reservation_id, r.status FROM reservations r
        WHERE r.reservation_number IN (
            SELECT reservation_number FROM reservations GROUP BY reservation_number HAVING count(*) > 1
        ) AND {only}
        """,
    ),
    Check(
        "pending_without_deadline",
        "a pending reservation has a deadline",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, r.reservation_number, r.created_at FROM reservations r
        WHERE r.status = 'pending' AND r.deadline IS NULL AND {only}
        """,
    ),
    Check(
        "refund_due_wrongly",
        "a refund is due only for a paid reservation of a cancelled event",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, r.reservation_number, r.status, r.payment_status, r.refund_due_at,
               e.status AS event_status
        FROM reservations r LEFT JOIN events e ON e.id = r.event_id
        WHERE r.refund_due_at IS NOT NULL AND {only}
          AND (r.status <> 'cancelled' OR r.payment_status <> 'completed' OR e.status IS DISTINCT FROM 'cancelled')
        """,
    ),
    Check(
        "refunds_differ",
        "refunds add up to payments less sales: what a payment has paid is sold, or owed to the buyer, or given back",
        "r.event_id",
        """
        SELECT r.event_id, r.id AS reservation_id, r.reservation_number, r.status, p.payment_id, p.amount AS paid,
               p.rejection->>'code' AS rejection, owed.amount AS refunds
        FROM payments p JOIN reservations r ON r.id = p.reservation_id CROSS JOIN LATERAL (
            SELECT coalesce(sum(f.amount), 0) AS amount FROM refunds f
            WHERE f.reservation_id = p.reservation_id AND f.payment_id = p.payment_id
        ) owed
        WHERE p.is_first AND {only}
          AND p.amount <> owed.amount
              + CASE WHEN p.rejection IS NULL AND r.status = 'confirmed' THEN r.total_amount ELSE 0 END
        """,
    ),
    Check(
        "status_unknown",
        "every status is one of its model's",
        "x.event_id",
        """
        SELECT x.event_id, x.of, x.id, x.status FROM (
            SELECT e.id AS event_id, 'event' AS of, e.id, e.status FROM events e
            WHERE e.status NOT IN ('upcoming', 'on_sale', 'sold_out', 'ended', 'cancelled')
            UNION ALL SELECT s.event_id, 'seat', s.id, s.status FROM seats s
            WHERE s.status NOT IN ('available', 'locked', 'sold')
            UNION ALL SELECT r.event_id, 'reservation', r.id, r.status FROM reservations r
            WHERE r.status NOT IN ('pending', 'confirmed', 'cancelled', 'expired')
            UNION ALL SELECT r.event_id, 'payment of reservation', r.id, r.payment_status FROM reservations r
            WHERE r.payment_status NOT IN ('pending', 'completed', 'failed', 'refunded')
            UNION ALL SELECT r.event_id, 'reason of refund', f.id, f.reason FROM refunds f
            JOIN reservations r ON r.id = f.reservation_id WHERE f.reason NOT IN (
                'buyer', 'organiser', 'event_cancelled', 'payment_service', 'late_payment', 'payment_refused'
            )
        ) x WHERE {only}
        """,
    ),
]
