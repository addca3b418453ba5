"""Operations on reservations, a file per verb. Each is one statement, and so one transaction.

Statements lock the rows that they change in this order: reservations, their items, seats, ticket types; rows of one table by
id. Last come the turn of whoever makes offers for an event, and the locks of buyers: see `offering`, `buyer_limits`.
"""

from reservations.services.auditing import audit
from reservations.services.cancelling import cancel_event, release_cancelled_events
from reservations.services.cancelling_part import CancelledPart, Part, cancel
from reservations.services.changing_layout import change_layout, change_layout_in_background, request_layout_change
from reservations.services.changing_seats import SeatsHeld, change_seats, seats_held
from reservations.services.confirming import confirm_reservation
from reservations.services.offering import offer_free_places
from reservations.services.paying import Hold, begin_payment, extend_hold, fail_payment
from reservations.services.purging import purge_idempotency_keys
from reservations.services.refunding import settle_refund
from reservations.services.releasing import cancel_reservation, expire_due, refund_reservation
from reservations.services.reserving_best_seats import Wish, reserve_best_seats
from reservations.services.reserving_seats import ReservedSeats, check_seat_limit, reserve_seats
from reservations.services.reserving_tickets import ReservedTickets, reserve_tickets
from reservations.services.stocking import change_total
from reservations.services.sweeping import sweep
from reservations.services.waitlisting import WaitlistWish, join_waitlist, leave_waitlist

__all__ = [
    "CancelledPart",
    "Hold",
    "Part",
    "ReservedSeats",
    "ReservedTickets",
    "SeatsHeld",
    "WaitlistWish",
    "Wish",
    "audit",
    "begin_payment",
    "cancel",
    "cancel_event",
    "cancel_reservation",
    "change_layout",
    "change_layout_in_background",
    "change_seats",
    "change_total",
    "check_seat_limit",
    "confirm_reservation",
    "expire_due",
    "extend_hold",
    "fail_payment",
    "join_waitlist",
    "leave_waitlist",
    "offer_free_places",
    "purge_idempotency_keys",
    "refund_reservation",
    "release_cancelled_events",
    "request_layout_change",
    "reserve_best_seats",
    "reserve_seats",
    "reserve_tickets",
    "seats_held",
    "settle_refund",
    "sweep",
]
