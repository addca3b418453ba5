"""Reservations, payments and refunds, for the OpenAPI document."""

from pathlib import Path

from drf_spectacular.utils import OpenApiParameter, extend_schema

from events.errors import EventNotFound, NotOnSale
from kernel.errors import InvalidInput
from kernel.openapi.schema import MessageSerializer, ViewDescription, raises
from queueing.errors import NotAdmitted, WaitingRoomUnavailable
from queueing.openapi import QUEUE_PASS
from reservations import errors
from reservations.errors import RESERVATION_STATUS
from reservations.models import Reservation
from reservations.openapi import shapes
from reservations.selectors import MAX_RESERVATIONS
from reservations.serializers import MAX_PAGE, MAX_REFUNDS, PaymentSerializer
from seats import errors as seat_errors
from tickets.errors import NoSuchTicket, NotEnoughTickets, QuantityTooSmall

EXAMPLES = Path(__file__).with_name("examples.json")

# --- Operations: buyers -----------------------------------------------------------------------------------------------

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[\\x20-\\x7e]{1,255}$"},
    OpenApiParameter.HEADER,
    description="The same request with the same key, within 24 hours, gets the same response and reserves nothing more.",
)
PART_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[\\x20-\\x7e]{1,255}$"},
    OpenApiParameter.HEADER,
    description="Of a request with `items`.",
)
_RESERVES = (
    EventNotFound,
    NotOnSale,
    NotAdmitted,
    WaitingRoomUnavailable,
    errors.AmountTooLarge,
    errors.TicketLimitReached(most=4),
    errors.UnpaidTimeUsedUp,
    InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII characters"),
    errors.RequestInProgress,
    errors.IdempotencyKeyReused,
)
_ORPHAN_SEATS = seat_errors.OrphanSeats(
    orphans=[{"id": "5ea70001-0000-4000-8000-000000000001", "seat_label": "VIP-1-1"}],
    choice=[{"id": "5ea70001-0000-4000-8000-000000000001", "seat_label": "VIP-1-1", "price": 150_000}],
)


class SeatReservations(ViewDescription):
    target_class = "reservations.views.SeatReservationViewSet"
    tag = "Seats"
    examples = EXAMPLES
    operations = {
        "reserve": extend_schema(
            operation_id="reserveSeats",
            summary="Reserve seats, to be paid within some minutes",
            description="All of them or none, for five minutes (a setting). A buyer who is not admitted by the event's"
            " waiting room is admitted now if nobody waits and there is room, and rejected otherwise.",
            parameters=[IDEMPOTENCY_KEY, QUEUE_PASS],
            request=shapes.ReserveSeatsSerializer,
            responses={201: shapes.SeatsReservedSerializer},
            extensions=raises(
                InvalidInput("Invalid event ID format"),
                InvalidInput("Please select at least one seat"),
                seat_errors.TooManySeats(most=1),
                InvalidInput("Invalid seat ID format"),
                seat_errors.SeatNotFound,
                seat_errors.SeatBeingChosen,
                seat_errors.SeatTaken(label="VIP-1-1"),
                _ORPHAN_SEATS,
                errors.SeatRecentlyReleased(label="VIP-1-1", seconds=600),
                *_RESERVES,
            ),
        ),
        "best_available": extend_schema(
            operation_id="reserveBestSeats",
            summary="Reserve the best available seats",
            description="As `reserveSeats`, but the service chooses: neighbours in one row, if a row has room, otherwise in"
            " two, rather behind one another; of these, seats that leave no single one over; of these, the nearest to the"
            " middle of the stage. Two who ask at once get different seats.",
            parameters=[IDEMPOTENCY_KEY, QUEUE_PASS],
            request=shapes.BestSeatsSerializer,
            responses={201: shapes.BestSeatsReservedSerializer},
            extensions=raises(
                InvalidInput("Invalid event ID format"),
                InvalidInput("수량은 정수여야 합니다."),
                seat_errors.TooManySeats(most=1),
                seat_errors.SectionNotFound,
                seat_errors.NoSeatsTogether,
                *_RESERVES,
            ),
        ),
        "reservation": extend_schema(
            operation_id="getSeatReservation",
            summary="One of my reservations, with its deadline",
            description="An entry in `seats` for each seat. Of a reservation by ticket type, one for each item.",
            responses={200: shapes.SeatReservationSerializer},
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
            summary="Reserve tickets, to be paid within some minutes",
            description="By ticket type; all of them or none, for five minutes (a setting). The waiting room is the same as"
            " for seats.",
            parameters=[IDEMPOTENCY_KEY, QUEUE_PASS],
            request=shapes.ReserveTicketsSerializer,
            responses={201: shapes.TicketsReservedSerializer},
            extensions=raises(
                InvalidInput("Invalid eventId format"),
                InvalidInput("티켓을 선택해주세요."),
                InvalidInput("Invalid ticketTypeId list"),
                InvalidInput("수량은 정수여야 합니다."),
                QuantityTooSmall,
                NoSuchTicket,
                NotEnoughTickets(name="스탠딩 B", left=3),
                *_RESERVES,
            ),
        ),
        "my": extend_schema(
            operation_id="listMyReservations",
            summary="My reservations",
            description=f"Newest first. Without `page` and `limit` the newest {MAX_RESERVATIONS}, and no `pagination`.",
            parameters=[
                OpenApiParameter("page", {"type": "integer", "minimum": 1}),
                OpenApiParameter(
                    "limit",
                    {"type": "integer", "minimum": 1},
                    description=f"10 if only `page` is given. More than {MAX_PAGE} counts as {MAX_PAGE}.",
                ),
                OpenApiParameter(
                    "Reservations-Limit",
                    int,
                    OpenApiParameter.HEADER,
                    response=[200],
                    description="How many reservations a response of this request has at most.",
                ),
            ],
            responses={200: shapes.MyReservationsSerializer},
            extensions=raises(InvalidInput("page must be a positive integer")),
        ),
        "retrieve": extend_schema(
            operation_id="getReservation",
            summary="One of my reservations",
            responses={200: shapes.OneReservationSerializer},
            extensions=raises(InvalidInput("Invalid id format"), errors.ReservationNotFound),
        ),
        "cancel": extend_schema(
            operation_id="cancelReservation",
            summary="Cancel a reservation, paid or not, or a part of a paid one",
            description="Without a body, all of it; with `items`, these seats and tickets of a paid one. What they have cost"
            " is then to be refunded. A paid reservation can be cancelled until its event's deadline, and none that is being"
            " paid. The same part with the same `Idempotency-Key` is cancelled once, and gets the same response.",
            parameters=[PART_KEY],
            request=shapes.CancelPartSerializer,
            responses={200: shapes.CancelledSerializer},
            extensions=raises(
                InvalidInput("Invalid id format"),
                InvalidInput("취소할 좌석 또는 티켓을 선택해주세요."),
                errors.NothingToCancel,
                errors.AlreadyCancelled,
                errors.AlreadyExpired,
                errors.CancellationClosed,
                errors.NotAPart,
                errors.PartIsUnpaid,
                errors.PaymentInProgress,
                errors.SeatStatusDiffers,
                errors.IdempotencyKeyReused,
            ),
        ),
        "extend": extend_schema(
            operation_id="extendReservation",
            summary="Ask for more time to pay",
            description="The reservation is then held for five minutes (a setting) from now on, but never beyond"
            " `latestExpiresAt`, which extensions and payments share.",
            request=None,
            responses={200: shapes.HeldSerializer},
            extensions=raises(
                InvalidInput("Invalid id format"),
                errors.ReservationNotFound,
                errors.AlreadyExpired,
                errors.AlreadyCancelled,
                errors.PaidTwice,
                errors.HoldLimitReached,
            ),
        ),
        "seats": extend_schema(
            operation_id="changeSeats",
            summary="Swap or drop seats of a pending reservation",
            description="It then has exactly these seats, at most as many as before, or nothing has changed. Its deadline"
            " stays. Taking another seat needs an admission, as reserving does.",
            parameters=[QUEUE_PASS],
            request=shapes.ChangeSeatsSerializer,
            responses={200: shapes.SeatsChangedSerializer},
            extensions=raises(
                InvalidInput("Invalid id format"),
                InvalidInput("Please select at least one seat"),
                seat_errors.TooManySeats(most=1),
                errors.ReservationNotFound,
                errors.AlreadyPaid,
                errors.AlreadyCancelled,
                errors.AlreadyExpired,
                NotOnSale,
                NotAdmitted,
                WaitingRoomUnavailable,
                seat_errors.SeatNotFound,
                seat_errors.SeatBeingChosen,
                seat_errors.SeatTaken(label="VIP-1-1"),
                _ORPHAN_SEATS,
                errors.SeatRecentlyReleased(label="VIP-1-1", seconds=600),
                errors.SeatStatusDiffers,
                errors.AmountTooLarge,
            ),
        ),
    }


class EntryCodes(ViewDescription):
    target_class = "reservations.views.EntryCodeViewSet"
    tag = "Reservations"
    examples = EXAMPLES
    operations = {
        "entry_codes": extend_schema(
            operation_id="listEntryCodes",
            summary="Get the entry codes of a paid reservation",
            description="One for each seat and ticket. A scanner verifies them without a connection, with the keys of"
            " `getEntryKeys`. `sub` is the same for a seat or ticket each time.",
            responses={200: shapes.EntryCodesSerializer},
            extensions=raises(InvalidInput("Invalid id format"), errors.ReservationNotFound, errors.NotPaid),
        ),
    }


class EntryKeys(ViewDescription):
    target_class = "reservations.views.EntryKeyViewSet"
    tag = "Reservations"
    examples = EXAMPLES
    uses_database = False
    operations = {
        "entry_keys": extend_schema(
            operation_id="getEntryKeys",
            summary="Get the keys that entry codes are verified with",
            responses={200: shapes.EntryKeysSerializer},
        ),
    }


class Sales(ViewDescription):
    target_class = "reservations.views.SaleViewSet"
    tag = "Events"
    examples = EXAMPLES
    operations = {
        "sale": extend_schema(
            operation_id="getSale",
            summary="The terms of an event's sale",
            description="What a client needs to know before it offers to buy: how much a buyer may have, and for how long.",
            responses={200: shapes.SaleSerializer},
            extensions=raises(InvalidInput("Invalid id format"), EventNotFound),
        )
    }


class Waitlist(ViewDescription):
    target_class = "reservations.views.WaitlistViewSet"
    tag = "Waiting list"
    examples = EXAMPLES
    operations = {
        "position": [
            extend_schema(
                methods=["GET"],
                operation_id="getWaitlistPosition",
                summary="Where I am on the waiting list of an event, or what was offered to me",
                responses={200: shapes.OnWaitlistSerializer},
                extensions=raises(InvalidInput("Invalid event ID format"), EventNotFound),
            ),
            extend_schema(
                methods=["POST"],
                operation_id="joinWaitlist",
                summary="Wait for places of an event that is sold out",
                description="Whatever comes back is offered to the first in order whom it suits, as a pending reservation"
                " for ten minutes (a setting). Without `section` and `ticketTypeId`, anything suits. The same request again"
                " changes nothing.",
                request=shapes.WishSerializer,
                responses={201: shapes.WaitlistJoinedSerializer},
                extensions=raises(
                    InvalidInput("Invalid event ID format"),
                    InvalidInput("수량은 정수여야 합니다."),
                    InvalidInput("Invalid section"),
                    EventNotFound,
                    NotOnSale,
                    errors.WaitlistOff,
                    seat_errors.SectionNotFound,
                    NoSuchTicket,
                    seat_errors.TooManySeats(most=1),
                    errors.TicketLimitReached(most=4),
                    errors.PlacesAvailable,
                    errors.WaitingAlready,
                    errors.OfferIsOpen,
                ),
            ),
        ],
        "leave": extend_schema(
            operation_id="leaveWaitlist",
            summary="Leave the waiting list, or give back an offer that is not paid",
            request=None,
            responses={200: MessageSerializer},
            extensions=raises(
                InvalidInput("Invalid event ID format"),
                EventNotFound,
                errors.NotWaiting,
                errors.PaymentInProgress,
                errors.SeatStatusDiffers,
            ),
        ),
    }


# --- Operations: other services ---------------------------------------------------------------------------------------


_STATUS_NOW = OpenApiParameter(
    RESERVATION_STATUS,
    enum=Reservation.Status.values,
    location=OpenApiParameter.HEADER,
    response=[409],
    description="The reservation's status now.",
)
_PAYS = (
    InvalidInput("Invalid id format"),
    errors.ReservationNotFound,
    errors.PaidTooLate,
    errors.PaidAfterCancelling,
    errors.PaidTwice,
)


class InternalReservations(ViewDescription):
    target_class = "reservations.views.InternalReservationViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "begin_payment": extend_schema(
            operation_id="beginPayment",
            summary="Keep a reservation while its buyer pays",
            description="For ten minutes (a setting), but never beyond `latestExpiresAt`. Nobody can cancel it or take its"
            " places meanwhile. Idempotent while the payment lasts.",
            parameters=[_STATUS_NOW],
            request=None,
            responses={200: shapes.HeldSerializer},
            extensions=raises(*_PAYS),
        ),
        "fail_payment": extend_schema(
            operation_id="failPayment",
            summary="End a payment that has begun and failed",
            description="A minute (a setting) is left for another card, or what was left before the payment began."
            " Idempotent.",
            parameters=[_STATUS_NOW],
            request=None,
            responses={200: shapes.HeldSerializer},
            extensions=raises(*_PAYS),
        ),
        "confirm": extend_schema(
            operation_id="confirmReservation",
            summary="Confirm a reservation that was paid",
            description="The same payment again gets the first response, also a 409, whatever happened since."
            " A payment within a minute (a setting) after the deadline buys its places if all are still free and on sale."
            " A 409 means that this payment buys nothing; what it has paid is then among the refunds that are due.",
            parameters=[
                OpenApiParameter(
                    RESERVATION_STATUS,
                    enum=Reservation.Status.values,
                    location=OpenApiParameter.HEADER,
                    response=[200, 409],
                    description="The reservation's status now.",
                )
            ],
            request=PaymentSerializer,
            responses={200: shapes.PaymentConfirmedSerializer},
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
            summary="Cancel a reservation that was refunded",
            description="Its seats and tickets become available, and what is due of its payment is done. Idempotent.",
            request=None,
            responses={200: MessageSerializer},
            extensions=raises(
                InvalidInput("Invalid id format"), errors.ReservationNotFound, errors.NotPaid, errors.SeatStatusDiffers
            ),
        ),
    }


class InternalRefunds(ViewDescription):
    target_class = "reservations.views.InternalRefundViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "list": extend_schema(
            operation_id="listRefunds",
            summary="Refunds that are due",
            description="The oldest first, whoever has caused them. Each is listed until it is said to be done.",
            parameters=[
                OpenApiParameter(
                    "after", {"type": "string", "format": "uuid"}, description="A refund: those after it."
                ),
                OpenApiParameter(
                    "limit", {"type": "integer", "minimum": 1}, description=f"100 by default, at most {MAX_REFUNDS}."
                ),
            ],
            responses={200: shapes.RefundsSerializer},
            extensions=raises(
                InvalidInput("Invalid after format"),
                InvalidInput("limit must be a positive integer"),
                errors.RefundNotFound,
            ),
        ),
        "done": extend_schema(
            operation_id="settleRefund",
            summary="Say that a refund is done",
            description="Idempotent.",
            request=None,
            responses={200: shapes.RefundDoneSerializer},
            extensions=raises(InvalidInput("Invalid id format"), errors.RefundNotFound),
        ),
    }


class InternalEvents(ViewDescription):
    target_class = "reservations.views.InternalEventViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "cancel": extend_schema(
            operation_id="cancelEvent",
            summary="Cancel an event",
            description="Nothing more is sold, and every reservation is cancelled. For paid ones a refund is due.",
            request=None,
            responses={200: shapes.EventCancelledSerializer},
            extensions=raises(InvalidInput("Invalid id format"), EventNotFound),
        )
    }
