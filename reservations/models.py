"""Tables `reservations`, `reservation_items`, `payments`, `refunds`, `idempotency_keys` and `waitlist_entries`."""

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from events.models import Event
from seats.models import Seat
from tickets.models import TicketType

MAX_AMOUNT = 2**31 - 1  # won, of a reservation: the column is an integer


class Reservation(models.Model):
    """A buyer's claim on seats or tickets. A hold while it is pending, until its deadline."""

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        CONFIRMED = "confirmed", _("confirmed")
        CANCELLED = "cancelled", _("cancelled")
        EXPIRED = "expired", _("expired")

    class PaymentStatus(models.TextChoices):
        PENDING = "pending", _("unpaid")
        COMPLETED = "completed", _("paid")
        FAILED = "failed", _("failed")
        REFUNDED = "refunded", _("refunded")

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    user_id = models.UUIDField(_("user"))
    event = models.ForeignKey(
        Event, on_delete=models.SET_NULL, null=True, related_name="reservations", verbose_name=_("event")
    )
    reservation_number = models.CharField(_("reservation number"), max_length=50, unique=True)
    total_amount = models.IntegerField(_("amount (won)"))
    status = models.CharField(_("status"), max_length=20, choices=Status, db_default=Status.PENDING)
    payment_status = models.CharField(
        _("payment"), max_length=20, choices=PaymentStatus, db_default=PaymentStatus.PENDING
    )
    payment_method = models.CharField(_("payment method"), max_length=50, null=True, blank=True)
    payment_id = models.CharField(_("payment ID"), max_length=255, null=True, blank=True)
    expires_at = models.DateTimeField(_("seat hold deadline"), null=True, blank=True)
    # The deadline of a reservation by ticket type, whose `expires_at` has always been NULL: see docs/adr/0004.
    held_until = models.DateTimeField(_("ticket hold deadline"), null=True, blank=True)
    deadline = models.GeneratedField(
        expression=Coalesce("expires_at", "held_until"),
        output_field=models.DateTimeField(null=True),
        db_persist=True,
        verbose_name=_("payment deadline"),
    )
    # While somebody is paying: since when, and the deadline as it was before. It counts again when the payment fails.
    payment_began_at = models.DateTimeField(_("payment begun"), null=True, blank=True)
    deadline_before_payment = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when a refund is due, because the event of a paid reservation was cancelled.
    refund_due_at = models.DateTimeField(_("refund due since"), null=True, blank=True)
    # When the buyer has dropped seats of this reservation, {seat id: moment}; NULL: never.
    dropped_seats = models.JSONField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "reservations"
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "confirmed", "cancelled", "expired"]),
                name="reservation_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(payment_status__in=["pending", "completed", "failed", "refunded"]),
                name="reservation_payment_status_known",
            ),
            models.CheckConstraint(condition=models.Q(total_amount__gte=0), name="reservation_amount_not_negative"),
            models.UniqueConstraint(
                fields=["payment_id"], condition=models.Q(payment_id__isnull=False), name="payment_pays_once"
            ),
        ]
        indexes = [
            models.Index(fields=["user_id", "-created_at"], name="reservations_by_user"),
            models.Index(
                fields=["deadline", "id"], condition=models.Q(status="pending"), name="reservations_to_expire"
            ),
        ]

    def __str__(self) -> str:
        return self.reservation_number


class ReservationItem(models.Model):
    """One seat, or a quantity of one ticket type, of a reservation."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    reservation = models.ForeignKey(
        Reservation, on_delete=models.CASCADE, related_name="items", verbose_name=_("reservation")
    )
    ticket_type = models.ForeignKey(
        TicketType, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("ticket type")
    )
    seat = models.ForeignKey(Seat, on_delete=models.PROTECT, null=True, related_name="items", verbose_name=_("seat"))
    quantity = models.IntegerField(_("quantity"), db_default=1)
    unit_price = models.IntegerField(_("price (won)"))
    subtotal = models.IntegerField(_("amount (won)"))
    # Whether the reservation is pending or confirmed. Triggers maintain it (migration 0002): they replace NULL on insert,
    # and follow `reservations.status`. With it, "at most one live reservation per seat" is a unique index.
    is_live = models.BooleanField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        db_table = "reservation_items"
        verbose_name = _("item")
        verbose_name_plural = _("items")
        constraints = [
            models.UniqueConstraint(
                fields=["seat"], condition=models.Q(is_live=True), name="seat_in_one_live_reservation"
            ),
            models.CheckConstraint(condition=models.Q(is_live__isnull=False), name="item_is_live_or_not"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="item_quantity_positive"),
            models.CheckConstraint(condition=models.Q(unit_price__gte=0), name="item_price_not_negative"),
            models.CheckConstraint(condition=models.Q(subtotal__gte=0), name="item_subtotal_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.unit_price}"


class Payment(models.Model):
    """The first response that a payment got for a reservation, so that it gets no other one."""

    payment_id = models.CharField(max_length=255)
    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, db_index=False, related_name="+")
    amount = models.IntegerField()
    rejection = models.JSONField(null=True)  # see `RejectedBefore`; NULL: the payment has confirmed the reservation
    # Whether this is the first reservation that the payment came for. Its money counts here, and for no other one.
    is_first = models.BooleanField(db_default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "payments"
        constraints = [
            models.UniqueConstraint(fields=["payment_id", "reservation"], name="payment_answered_once"),
            models.UniqueConstraint(
                fields=["payment_id"], condition=models.Q(is_first=True), name="payment_counts_once"
            ),
        ]

    def __str__(self) -> str:
        return self.payment_id


class Refund(models.Model):
    """Money that is owed to a buyer, until the payment service has given it back."""

    class Reason(models.TextChoices):
        BUYER = "buyer", _("cancelled by the buyer")
        ORGANISER = "organiser", _("cancelled by the organiser")
        EVENT_CANCELLED = "event_cancelled", _("event cancelled")
        PAYMENT_SERVICE = "payment_service", _("refunded by the payment service")
        LATE_PAYMENT = "late_payment", _("paid too late")
        PAYMENT_REFUSED = "payment_refused", _("payment refused")

    id = models.UUIDField(_("refund ID"), primary_key=True, db_default=RandomUUID(), editable=False)
    reservation = models.ForeignKey(
        Reservation, on_delete=models.PROTECT, related_name="refunds", verbose_name=_("reservation")
    )
    # NULL if another writer has confirmed the reservation, and named no payment.
    payment_id = models.CharField(_("payment ID"), max_length=255, null=True)
    amount = models.IntegerField(_("amount (won)"))
    reason = models.CharField(_("reason"), max_length=20, choices=Reason)
    # What was cancelled, of a part: {seatId and seatLabel, or ticketTypeId, quantity, amount}.
    items = models.JSONField(null=True, editable=False)
    idempotency_key = models.CharField(
        max_length=255, null=True, editable=False
    )  # of the request that cancelled a part
    due_at = models.DateTimeField(_("due since"), db_default=Now())
    done_at = models.DateTimeField(_("refunded"), null=True)

    class Meta:
        db_table = "refunds"
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(
                    reason__in=[
                        "buyer",
                        "organiser",
                        "event_cancelled",
                        "payment_service",
                        "late_payment",
                        "payment_refused",
                    ]
                ),
                name="refund_reason_known",
            ),
            models.UniqueConstraint(
                fields=["payment_id"],
                condition=models.Q(reason__in=["late_payment", "payment_refused"]),
                name="refused_payment_refunded_once",
            ),
            models.UniqueConstraint(fields=["reservation", "idempotency_key"], name="part_cancelled_once"),
        ]
        indexes = [
            models.Index(fields=["due_at", "id"], condition=models.Q(done_at__isnull=True), name="refunds_due"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class IdempotencyKey(models.Model):
    """The response to a request with an Idempotency-Key, so that the same request reserves nothing more."""

    user_id = models.UUIDField()
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of operation and body, hexadecimal
    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, null=True, db_index=False)
    response = models.JSONField(null=True)  # what the response to a request that reserved is rendered from
    refusal = models.JSONField(null=True)  # of a rejection: see `RejectedBefore`
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "idempotency_keys"
        constraints = [
            models.UniqueConstraint(fields=["user_id", "key"], name="idempotency_key_once"),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_keys_by_age")]

    def __str__(self) -> str:
        return self.key


class WaitlistEntry(models.Model):
    """A buyer's place on an event's waiting list, or what has become of it. `services.offering` makes the offers."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        OFFERED = "offered", _("offered")
        LEFT = "left", _("left")

    # The order of the list: assigned while nobody else can join the event's list.
    id = models.BigAutoField(primary_key=True)
    event = models.ForeignKey(
        Event, on_delete=models.CASCADE, db_index=False, related_name="waitlist", verbose_name=_("event")
    )
    user_id = models.UUIDField(_("user"))
    quantity = models.IntegerField(_("quantity"))
    # What is wanted: seats of this section, or tickets of this type. Neither: any seats, or tickets of any one type.
    section = models.CharField(_("section"), max_length=50, null=True)
    ticket_type = models.ForeignKey(
        TicketType, on_delete=models.CASCADE, null=True, related_name="+", verbose_name=_("ticket type")
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, db_default=Status.WAITING)
    # The offer. What has become of it, this reservation says.
    reservation = models.OneToOneField(
        Reservation, on_delete=models.CASCADE, null=True, related_name="+", verbose_name=_("reservation")
    )
    created_at = models.DateTimeField(_("waiting since"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "waitlist_entries"
        verbose_name = _("waiting list entry")
        verbose_name_plural = _("waiting list")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "user_id"], condition=models.Q(status="waiting"), name="waits_once_for_an_event"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["waiting", "offered", "left"]), name="waitlist_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status="offered", reservation__isnull=False)
                | (~models.Q(status="offered") & models.Q(reservation__isnull=True)),
                name="waitlist_offer_is_a_reservation",
            ),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="waitlist_quantity_positive"),
            models.CheckConstraint(
                condition=models.Q(section__isnull=True) | models.Q(ticket_type__isnull=True),
                name="waitlist_section_or_ticket_type",
            ),
        ]
        indexes = [
            models.Index(fields=["event", "id"], condition=models.Q(status="waiting"), name="waitlist_in_order"),
            models.Index(fields=["user_id", "event", "-id"], name="waitlist_by_user"),
        ]

    def __str__(self) -> str:
        return str(self.id)
