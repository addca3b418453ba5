"""What is sent and answered, for the OpenAPI document."""

from typing import Any

from rest_framework import serializers

from kernel.openapi.schema import MessageSerializer, Timestamp
from reservations.models import Reservation as ReservationModel
from reservations.serializers import MAX_ITEMS

# --- Shapes: buying ---------------------------------------------------------------------------------------------------


class ReserveSeats(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    seatIds = serializers.ListField(child=serializers.UUIDField(), min_length=1, help_text="Twice the same is one.")


class SeatTaken(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    seat_label = serializers.CharField()
    price = serializers.IntegerField(help_text="Won.")
    status = serializers.ChoiceField(["available"], help_text="What it was before.")


class SeatSale(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reservationNumber = serializers.CharField()
    totalAmount = serializers.IntegerField(help_text="Won.")
    expiresAt = Timestamp(help_text="To be paid before.")
    seats = SeatTaken(many=True, help_text="In the order asked for.")


class SeatsReserved(MessageSerializer):
    reservation = SeatSale()


class TicketsWanted(serializers.Serializer[Any]):
    ticketTypeId = serializers.UUIDField()
    quantity = serializers.IntegerField(min_value=1)


class BuyTickets(serializers.Serializer[Any]):
    eventId = serializers.UUIDField()
    items = serializers.ListField(child=TicketsWanted(), min_length=1, max_length=MAX_ITEMS)


class TicketSale(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reservationNumber = serializers.CharField()
    totalAmount = serializers.IntegerField(help_text="Won.")


class TicketsBought(MessageSerializer):
    reservation = TicketSale()


class ConfirmedSale(TicketSale):
    status = serializers.ChoiceField(["confirmed"])


class PaymentConfirmed(MessageSerializer):
    reservation = ConfirmedSale()


class EventCancelled(MessageSerializer):
    cancelledReservations = serializers.IntegerField()


# --- Shapes: reservations ---------------------------------------------------------------------------------------------


class Item(serializers.Serializer[Any]):
    ticketTypeName = serializers.CharField(allow_null=True, help_text="Of a seat: its label.")
    quantity = serializers.IntegerField()
    unitPrice = serializers.IntegerField(help_text="Won.")
    subtotal = serializers.IntegerField(help_text="Won.")


class ItemWithSeat(Item):
    seatLabel = serializers.CharField(allow_null=True)
    section = serializers.CharField(allow_null=True)


class ReservationHead(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reservation_number = serializers.CharField()
    total_amount = serializers.IntegerField(help_text="Won.")
    status = serializers.ChoiceField(ReservationModel.Status.choices)
    payment_status = serializers.ChoiceField(ReservationModel.PaymentStatus.choices)
    created_at = Timestamp()
    event_title = serializers.CharField(allow_null=True, help_text="null, as the next ones, when the event is gone.")
    venue = serializers.CharField(allow_null=True)
    event_date = Timestamp(allow_null=True)


class MyReservation(ReservationHead):
    items = serializers.ListField(child=Item())


class MyReservations(serializers.Serializer[Any]):
    reservations = MyReservation(many=True, help_text="Newest first.")


class ReservationDetail(ReservationHead):
    payment_method = serializers.CharField(allow_null=True)
    event_id = serializers.UUIDField(allow_null=True)
    address = serializers.CharField(allow_null=True)
    items = serializers.ListField(child=ItemWithSeat())


class OneReservation(serializers.Serializer[Any]):
    reservation = ReservationDetail()


class SeatHeld(serializers.Serializer[Any]):
    seatId = serializers.UUIDField()
    seatLabel = serializers.CharField()
    section = serializers.CharField()
    rowNumber = serializers.IntegerField()
    seatNumber = serializers.IntegerField()
    price = serializers.IntegerField(help_text="Won.")


class SeatReservationDetail(ReservationHead):
    payment_method = serializers.CharField(allow_null=True)
    event_id = serializers.UUIDField()
    expires_at = Timestamp(allow_null=True)
    seats = SeatHeld(many=True)
    isExpired = serializers.BooleanField(required=False, help_text="Only when it is: `true`.")


class SeatReservation(serializers.Serializer[Any]):
    reservation = SeatReservationDetail()
