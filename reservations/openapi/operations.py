"""Reservations, and what other services tell, for the OpenAPI document."""

from pathlib import Path

from drf_spectacular.utils import OpenApiParameter, extend_schema

from events.errors import EventNotFound, NotOnSale
from kernel.errors import InvalidInput
from kernel.openapi.schema import MessageSerializer, ViewDescription, raises
from queueing.errors import NotAdmitted, WaitingRoomUnavailable
from queueing.openapi import QUEUE_PASS
from reservations import errors
from reservations.openapi import shapes
from reservations.serializers import Payment
from seats import errors as seat_errors
from tickets.errors import NoSuchTicket, NotEnoughTickets, QuantityTooSmall

EXAMPLES = Path(__file__).with_name("examples.json")

# --- Operations: buyers -----------------------------------------------------------------------------------------------

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[\\x20-\\x7e]{1,255}$"},
    OpenApiParameter.HEADER,
    description="Names the request: sent again within 24 hours, it gets the same answer and sells nothing more.",
)
_SELLS = (
    EventNotFound,
    NotOnSale,
    NotAdmitted,
    WaitingRoomUnavailable,
    errors.AmountTooLarge,
    InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII characters"),
    seat_errors.RequestInProgress,
    errors.IdempotencyKeyReused,
)


class SeatReservations(ViewDescription):
    target_class = "reservations.views.SeatReservationViewSet"
    tag = "Seats"
    examples = EXAMPLES
    operations = {
        "reserve": extend_schema(
            operation_id="reserveSeats",
            summary="Hold seats until they are paid",
            description="All of them or none, for five minutes (a setting). Who is not inside the event's waiting room"
            " is let in if nobody waits and there is room, and refused otherwise.",
            parameters=[IDEMPOTENCY_KEY, QUEUE_PASS],
            request=shapes.ReserveSeats,
            responses={201: shapes.SeatsReserved},
            extensions=raises(
                InvalidInput("Invalid event ID format"),
                InvalidInput("Please select at least one seat"),
                seat_errors.TooManySeats(most=1),
                InvalidInput("Invalid seat ID format"),
                seat_errors.SeatNotFound,
                seat_errors.SeatBeingChosen,
                seat_errors.SeatTaken(label="VIP-1-1"),
                *_SELLS,
            ),
        ),
        "reservation": extend_schema(
            operation_id="getSeatReservation",
            summary="Seats I hold or have bought",
            responses={200: shapes.SeatReservation},
            extensions=raises(InvalidInput("Invalid reservation ID format"), errors.SeatReservationNotFound),
        ),
    }


class Reservations(ViewDescription):
    target_class = "reservations.views.ReservationViewSet"
    tag = "Reservations"
    examples = EXAMPLES
    operations = {
        "create": extend_schema(
            operation_id="buyTickets",
            summary="Hold tickets until they are paid",
            description="By ticket type; all of them or none, for five minutes (a setting). The waiting room counts as for"
            " seats.",
            parameters=[IDEMPOTENCY_KEY, QUEUE_PASS],
            request=shapes.BuyTickets,
            responses={201: shapes.TicketsBought},
            extensions=raises(
                InvalidInput("Invalid eventId format"),
                InvalidInput("티켓을 선택해주세요."),
                InvalidInput("Invalid ticketTypeId list"),
                InvalidInput("수량은 정수여야 합니다."),
                QuantityTooSmall,
                NoSuchTicket,
                NotEnoughTickets(name="스탠딩 B", left=3),
                *_SELLS,
            ),
        ),
        "my": extend_schema(
            operation_id="listMyReservations", summary="My reservations", responses={200: shapes.MyReservations}
        ),
        "retrieve": extend_schema(
            operation_id="getReservation",
            summary="One of my reservations",
            responses={200: shapes.OneReservation},
            extensions=raises(InvalidInput("Invalid id format"), errors.ReservationNotFound),
        ),
        "cancel": extend_schema(
            operation_id="cancelReservation",
            summary="Give it back, paid or not",
            request=None,
            responses={200: MessageSerializer},
            extensions=raises(
                InvalidInput("Invalid id format"),
                errors.NothingToCancel,
                errors.AlreadyCancelled,
                errors.AlreadyExpired,
            ),
        ),
    }


# --- Operations: other services ---------------------------------------------------------------------------------------


class InternalReservations(ViewDescription):
    target_class = "reservations.views.InternalReservationViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "confirm": extend_schema(
            operation_id="confirmReservation",
            summary="It was paid",
            description="The same payment once more gets the first answer. A 409 means that this payment buys nothing,"
            " and its money goes back.",
            request=Payment,
            responses={200: shapes.PaymentConfirmed},
            extensions=raises(
                InvalidInput("Invalid id format"),
                InvalidInput("amount: a whole number is required"),
                errors.ReservationNotFound,
                errors.PaidTooLate,
                errors.PaidAfterCancelling,
                errors.PaidTwice,
                errors.AmountDiffers,
                errors.PaymentUsedElsewhere,
            ),
        ),
        "refund": extend_schema(
            operation_id="refundReservation",
            summary="The money was given back",
            description="The places become free. Twice is the same as once.",
            request=None,
            responses={200: MessageSerializer},
            extensions=raises(InvalidInput("Invalid id format"), errors.ReservationNotFound, errors.NotPaid),
        ),
    }


class InternalEvents(ViewDescription):
    target_class = "reservations.views.InternalEventViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "cancel": extend_schema(
            operation_id="cancelEvent",
            summary="An event does not take place",
            description="Nothing more is sold, and every reservation is cancelled; paid ones are due for a refund.",
            request=None,
            responses={200: shapes.EventCancelled},
            extensions=raises(InvalidInput("Invalid id format"), EventNotFound),
        )
    }
