"""What can be done with seats and reservations, a file per verb. Each sale is one statement, and so one transaction.

Who changes rows locks them first, always in this order, and rows of one table by id: reservations, seats, ticket types.
"""

from seats.services.auditing import audit
from seats.services.buying import TicketSale, buy_tickets
from seats.services.cancelling import cancel_event, release_cancelled_events
from seats.services.confirming import confirm_reservation
from seats.services.generating import change_layout, generate_missing_seats, generate_seats
from seats.services.releasing import cancel_reservation, expire_due, refund_reservation
from seats.services.reserving import SeatSale, refuse_too_many, reserve_seats
from seats.services.statuses import update_status_of, update_statuses
from seats.services.stocking import change_total
from seats.services.sweeping import sweep

__all__ = [
    "SeatSale",
    "TicketSale",
    "audit",
    "buy_tickets",
    "cancel_event",
    "cancel_reservation",
    "change_layout",
    "change_total",
    "confirm_reservation",
    "expire_due",
    "generate_missing_seats",
    "generate_seats",
    "refund_reservation",
    "refuse_too_many",
    "release_cancelled_events",
    "reserve_seats",
    "sweep",
    "update_status_of",
    "update_statuses",
]
