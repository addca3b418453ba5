"""What can be done with seats and reservations, a file per verb. Each operation is one statement, and so one transaction.

Who changes rows locks them first, always in this order, and rows of one table by id: reservations, seats, ticket types.
"""

from seats.services.buying import TicketSale, buy_tickets
from seats.services.confirming import confirm_reservation
from seats.services.generating import generate_seats
from seats.services.releasing import cancel_reservation, expire_due, refund_reservation
from seats.services.reserving import SeatSale, refuse_too_many, reserve_seats

__all__ = [
    "SeatSale",
    "TicketSale",
    "buy_tickets",
    "cancel_reservation",
    "confirm_reservation",
    "expire_due",
    "generate_seats",
    "refund_reservation",
    "refuse_too_many",
    "reserve_seats",
]
