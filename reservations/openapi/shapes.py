"""Requests and responses, for the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from kernel.openapi.schema import MessageSerializer, Timestamp
from reservations.models import Refund
from reservations.models import Reservation as ReservationModel
from reservations.serializers import MAX_ITEMS, MAX_PAGE, MAX_PART, MAX_QUANTITY, MAX_SECTION

# --- Shapes: buying ---------------------------------------------------------------------------------------------------


class ReserveSeatsSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    seatIds = serializers.ListField(child=serializers.UUIDField(), min_length=1, help_text="Duplicates count once.")


class ReservedSeatSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    seat_label = serializers.CharField()
    price = serializers.IntegerField(help_text="Won.")
    status = serializers.ChoiceField(["available"], help_text="The status before.")


class NewSeatReservationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reservationNumber = serializers.CharField()
    totalAmount = serializers.IntegerField(help_text="Won.")
    expiresAt = Timestamp(help_text="The deadline of the payment.")
    seats = ReservedSeatSerializer(many=True, help_text="In the order of the request.")


class SeatsReservedSerializer(MessageSerializer):
    reservation = NewSeatReservationSerializer()


class BestSeatsSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    quantity = serializers.IntegerField(min_value=1)
    section = serializers.CharField(required=False, allow_null=True, max_length=MAX_SECTION, help_text="Only there.")
    maxPrice = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=MAX_QUANTITY, help_text="Won, of one seat."
    )
    accessible = serializers.BooleanField(
        required=False, help_text="Only accessible seats; otherwise none of them. `false` by default."
    )


class BestSeatReservationSerializer(NewSeatReservationSerializer):
    seats = ReservedSeatSerializer(many=True, help_text="Side by side, one row after the other.")


class BestSeatsReservedSerializer(MessageSerializer):
    reservation = BestSeatReservationSerializer()


class ChangeSeatsSerializer(serializers.Serializer[Any]):
    seatIds = serializers.ListField(
        child=serializers.UUIDField(),
        min_length=1,
        help_text="All seats that the reservation shall have: those it keeps, and those it takes.",
    )


class SeatNowSerializer(ReservedSeatSerializer):
    status = serializers.ChoiceField(["locked"])


class ChangedSeatReservationSerializer(NewSeatReservationSerializer):
    seats = SeatNowSerializer(many=True, help_text="In the order of the request.")


class SeatsChangedSerializer(MessageSerializer):
    reservation = ChangedSeatReservationSerializer()


class RequestedTicketsSerializer(serializers.Serializer[Any]):
    ticketTypeId = serializers.UUIDField()
    quantity = serializers.IntegerField(min_value=1)


class ReserveTicketsSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    items = serializers.ListField(child=RequestedTicketsSerializer(), min_length=1, max_length=MAX_ITEMS)


class NewReservationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reservationNumber = serializers.CharField()
    totalAmount = serializers.IntegerField(help_text="Won.")


class TicketsReservedSerializer(MessageSerializer):
    reservation = NewReservationSerializer()


class ConfirmedReservationSerializer(NewReservationSerializer):
    status = serializers.ChoiceField(["confirmed"])


class PaymentConfirmedSerializer(MessageSerializer):
    reservation = ConfirmedReservationSerializer()


class HoldSerializer(NewReservationSerializer):
    status = serializers.ChoiceField(["pending"])
    expiresAt = Timestamp(help_text="The deadline of the payment.")
    latestExpiresAt = Timestamp(help_text="Beyond this no payment and no extension moves the deadline.")
    isBeingPaid = serializers.BooleanField(help_text="Whether a payment has begun.")


class HeldSerializer(MessageSerializer):
    reservation = HoldSerializer()


class PartItemSerializer(serializers.Serializer[Any]):
    seatId = serializers.UUIDField(required=False, help_text="A seat; or `ticketTypeId` and `quantity`.")
    ticketTypeId = serializers.UUIDField(required=False)
    quantity = serializers.IntegerField(required=False, min_value=1)


class CancelPartSerializer(serializers.Serializer[Any]):
    items = serializers.ListField(
        child=PartItemSerializer(), required=False, min_length=1, max_length=MAX_PART, help_text="Without, all of it."
    )


class RestOfReservationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    totalAmount = serializers.IntegerField(help_text="Won, of what remains; 0 if nothing does.")


class CancelledSerializer(MessageSerializer):
    refundAmount = serializers.IntegerField(required=False, help_text="Won. Only with `items`, as the next one.")
    reservation = RestOfReservationSerializer(required=False)


class RefundItemSerializer(serializers.Serializer[Any]):
    seatId = serializers.UUIDField(required=False)
    seatLabel = serializers.CharField(required=False)
    ticketTypeId = serializers.UUIDField(required=False)
    quantity = serializers.IntegerField()
    amount = serializers.IntegerField(help_text="Won.")


class RefundSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="The same for every attempt to give this money back.")
    reservationId = serializers.UUIDField()
    reservationNumber = serializers.CharField()
    userId = serializers.UUIDField()
    paymentId = serializers.CharField(
        allow_null=True, help_text="The payment that is to be given back, or a part of it."
    )
    paymentMethod = serializers.CharField(allow_null=True, help_text="Of the reservation.")
    amount = serializers.IntegerField(help_text="Won.")
    reason = serializers.ChoiceField(Refund.Reason.choices)
    items = serializers.ListField(
        child=RefundItemSerializer(), allow_null=True, help_text="What was cancelled, of a part."
    )
    dueAt = Timestamp()
    doneAt = Timestamp(allow_null=True)


@extend_schema_serializer(many=False)
class RefundsSerializer(serializers.Serializer[Any]):
    refunds = RefundSerializer(many=True)
    hasMore = serializers.BooleanField(help_text="Whether there are more after the last one.")


class RefundDoneSerializer(MessageSerializer):
    refund = RefundSerializer()


class EventCancelledSerializer(MessageSerializer):
    cancelledReservations = serializers.IntegerField()


# --- Shapes: the terms of a sale --------------------------------------------------------------------------------------


class LimitsSerializer(serializers.Serializer[Any]):
    maxTicketsPerBuyer = serializers.IntegerField(
        help_text="How many seats and tickets a buyer may have, pending and paid together."
    )
    maxSeatsPerReservation = serializers.IntegerField()
    holdSeconds = serializers.IntegerField(help_text="For how long a reservation is held unpaid.")
    relockSeconds = serializers.IntegerField(
        help_text="For how long a seat is closed to the buyer who has released it unpaid. 0: not at all."
    )
    unpaidHoldSeconds = serializers.IntegerField(
        help_text="For how long of the last `unpaidHoldWindowSeconds` a buyer may hold anything unpaid. 0: no bound."
    )
    unpaidHoldWindowSeconds = serializers.IntegerField()


class ExtensionSerializer(serializers.Serializer[Any]):
    seconds = serializers.IntegerField(help_text="What a buyer who asks for more time has from then on.")
    maxHoldSeconds = serializers.IntegerField(help_text="Payments and extensions together, from the reservation on.")


class PaymentTermsSerializer(serializers.Serializer[Any]):
    cancellableUntil = Timestamp(help_text="Until when its buyer may cancel a paid reservation.")
    extension = ExtensionSerializer()
    paymentSeconds = serializers.IntegerField(help_text="For how long a payment that has begun keeps its hold.")


class SeatTermsSerializer(serializers.Serializer[Any]):
    forbidsOrphanSeats = serializers.BooleanField(
        help_text="Whether seats that a buyer chooses may not leave a single one over, if there is another way."
    )


class WaitlistTermsSerializer(serializers.Serializer[Any]):
    isOpen = serializers.BooleanField(help_text="Whether buyers may wait for what is sold out.")
    offerSeconds = serializers.IntegerField(help_text="For how long an offer holds its places.")
    waiting = serializers.IntegerField(help_text="How many wait.")


class SaleSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    limits = LimitsSerializer()
    payment = PaymentTermsSerializer()
    seats = SeatTermsSerializer()
    joinChallenge = serializers.DictField(
        allow_null=True, help_text="What has to be solved to join the queue: its `type`, and what depends on it."
    )
    waitlist = WaitlistTermsSerializer()


# --- Shapes: the waiting list -----------------------------------------------------------------------------------------


class WishSerializer(serializers.Serializer[Any]):
    quantity = serializers.IntegerField(min_value=1, help_text="Seats, or tickets of one type.")
    section = serializers.CharField(
        required=False, allow_null=True, max_length=MAX_SECTION, help_text="Only seats of it."
    )
    ticketTypeId = serializers.UUIDField(
        required=False, allow_null=True, help_text="Only tickets of it. Not together with `section`."
    )


class OfferSerializer(serializers.Serializer[Any]):
    reservationId = serializers.UUIDField()
    reservationNumber = serializers.CharField()
    totalAmount = serializers.IntegerField(help_text="Won.")
    expiresAt = Timestamp()


class WaitlistPositionSerializer(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    state = serializers.ChoiceField(
        ["none", "waiting", "left", "offered", "confirmed", "expired", "cancelled"],
        help_text="The last three: what has become of the offer.",
    )
    position = serializers.IntegerField(help_text="From 1; 0 unless the buyer waits.")
    quantity = serializers.IntegerField()
    section = serializers.CharField(allow_null=True)
    ticketTypeId = serializers.UUIDField(allow_null=True)
    joinedAt = Timestamp(allow_null=True)
    offer = OfferSerializer(allow_null=True, help_text="The reservation, from the offer on.")


class OnWaitlistSerializer(serializers.Serializer[Any]):
    waitlist = WaitlistPositionSerializer()


class WaitlistJoinedSerializer(MessageSerializer):
    waitlist = WaitlistPositionSerializer()


# --- Shapes: entry codes -----------------------------------------------------------------------------------------------


class QrSerializer(serializers.Serializer[Any]):
    size = serializers.IntegerField(help_text="Width and height in modules, with the quiet zone.")
    path = serializers.CharField(help_text="The dark modules, as the `d` of an SVG path.")


class EntryCodeSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="A JWT, signed with Ed25519.")
    qr = QrSerializer(help_text="The same as a QR code.")
    seatId = serializers.UUIDField(allow_null=True, help_text="null, as the label, of tickets without seats.")
    seatLabel = serializers.CharField(allow_null=True)
    ticketTypeId = serializers.UUIDField(allow_null=True, help_text="null, as the name, of seats.")
    ticketTypeName = serializers.CharField(allow_null=True)


@extend_schema_serializer(many=False)
class EntryCodesSerializer(serializers.Serializer[Any]):
    entryCodes = EntryCodeSerializer(many=True)


class EntryKeySerializer(serializers.Serializer[Any]):
    kty = serializers.ChoiceField(["OKP"])
    crv = serializers.ChoiceField(["Ed25519"])
    alg = serializers.ChoiceField(["EdDSA"])
    use = serializers.ChoiceField(["sig"])
    kid = serializers.CharField()
    x = serializers.CharField(help_text="The public key, in base64url.")


@extend_schema_serializer(many=False)
class EntryKeysSerializer(serializers.Serializer[Any]):
    keys = EntryKeySerializer(many=True, help_text="The current one first.")


# --- Shapes: reservations ---------------------------------------------------------------------------------------------


class ItemSerializer(serializers.Serializer[Any]):
    ticketTypeName = serializers.CharField(allow_null=True, help_text="Of a seat: its label.")
    quantity = serializers.IntegerField()
    unitPrice = serializers.IntegerField(help_text="Won.")
    subtotal = serializers.IntegerField(help_text="Won.")


class ItemWithSeatSerializer(ItemSerializer):
    seatLabel = serializers.CharField(allow_null=True)
    section = serializers.CharField(allow_null=True)


class ReservationHeadSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reservation_number = serializers.CharField()
    total_amount = serializers.IntegerField(help_text="Won.")
    status = serializers.ChoiceField(ReservationModel.Status.choices)
    payment_status = serializers.ChoiceField(ReservationModel.PaymentStatus.choices)
    created_at = Timestamp()
    event_title = serializers.CharField(
        allow_null=True, help_text="null, as the next ones, when the event was deleted."
    )
    venue = serializers.CharField(allow_null=True)
    event_date = Timestamp(allow_null=True)


class MyReservationSerializer(ReservationHeadSerializer):
    items = serializers.ListField(child=ItemSerializer())


class ReservationPaginationSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE)
    total = serializers.IntegerField()
    totalPages = serializers.IntegerField()


class MyReservationsSerializer(serializers.Serializer[Any]):
    reservations = MyReservationSerializer(many=True, help_text="Newest first.")
    pagination = ReservationPaginationSerializer(required=False, help_text="Only with `page` or `limit`.")


class ReservationDetailSerializer(ReservationHeadSerializer):
    payment_method = serializers.CharField(allow_null=True)
    event_id = serializers.UUIDField(allow_null=True)
    address = serializers.CharField(allow_null=True)
    items = serializers.ListField(child=ItemWithSeatSerializer())


class OneReservationSerializer(serializers.Serializer[Any]):
    reservation = ReservationDetailSerializer()


class SeatOfReservationSerializer(serializers.Serializer[Any]):
    seatId = serializers.UUIDField(allow_null=True, help_text="null, as the next ones, of tickets without seats.")
    seatLabel = serializers.CharField(allow_null=True)
    section = serializers.CharField(allow_null=True)
    rowNumber = serializers.IntegerField(allow_null=True)
    seatNumber = serializers.IntegerField(allow_null=True)
    price = serializers.IntegerField(help_text="Won, of one.")
    ticketTypeName = serializers.CharField(required=False, allow_null=True, help_text="Only of tickets without seats.")
    quantity = serializers.IntegerField(required=False, help_text="Only of tickets without seats.")


class SeatReservationDetailSerializer(ReservationHeadSerializer):
    payment_method = serializers.CharField(allow_null=True)
    event_id = serializers.UUIDField()
    expires_at = Timestamp(allow_null=True)
    seats = SeatOfReservationSerializer(many=True)
    isExpired = serializers.BooleanField(required=False, help_text="Only when it is: `true`.")


class SeatReservationSerializer(serializers.Serializer[Any]):
    reservation = SeatReservationDetailSerializer()
