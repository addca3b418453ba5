"""What can be done with reservations, a file per verb. Each sale is one statement, and so one transaction.

Who changes rows locks them first, always in this order, and rows of one table by id: reservations, seats, ticket types.
"""

from reservations.services.auditing import audit
from reservations.services.buying import TicketSale, buy_tickets
from reservations.services.cancelling import cancel_event, release_cancelled_events
from reservations.services.changing_layout import change_layout
from reservations.services.confirming import confirm_reservation
from reservations.services.releasing import cancel_reservation, expire_due, refund_reservation
from reservations.services.reserving import SeatSale, check_seat_limit, reserve_seats
from reservations.services.stocking import change_total
from reservations.services.sweeping import sweep

__all__ = [
    "SeatSale",
    "TicketSale",
    "audit",
    "buy_tickets",
    "cancel_event",
    "cancel_reservation",
    "change_layout",
    "change_total",
    "check_seat_limit",
    "confirm_reservation",
    "expire_due",
    "refund_reservation",
    "release_cancelled_events",
    "reserve_seats",
    "sweep",
]
