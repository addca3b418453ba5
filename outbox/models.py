"""Tables `outbox_messages`, `outbox_subscribers`, `outbox_deliveries` and `outbox_attempts`."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class MessageKind(models.TextChoices):
    """What a message may tell. The values are the `type` of webhooks."""

    RESERVATION_CREATED = "reservation.created", _("reservation created")
    RESERVATION_CHANGED = "reservation.changed", _("reservation changed")
    RESERVATION_CONFIRMED = "reservation.confirmed", _("reservation confirmed")
    RESERVATION_CANCELLED = "reservation.cancelled", _("reservation cancelled")
    RESERVATION_EXPIRED = "reservation.expired", _("reservation expired")
    RESERVATION_REFUNDED = "reservation.refunded", _("reservation refunded")
    RESERVATION_REFUND_DUE = "reservation.refund_due", _("refund due")
    EVENT_STATUS_CHANGED = "event.status_changed", _("event status changed")
    EVENT_MOVED = "event.moved", _("event moved")
    EVENT_CANCELLED = "event.cancelled", _("event cancelled")
    EVENT_SOLD_OUT = "event.sold_out", _("event sold out")
    WAITLIST_OFFERED = "waitlist.offered", _("places offered from the waiting list")
    QUEUE_DRAW_HELD = "queue.draw_held", _("draw held")


class OutboxMessage(models.Model):
    """Something that has happened, recorded by the statement that made it happen (`outbox.sql.record`)."""

    # In the order of a subject's messages: whoever inserts one holds the row of its reservation or event.
    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(db_default=RandomUUID(), editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    # The reservation, or else the event: messages of one subject are delivered one after the other.
    subject_id = models.UUIDField()
    event_id = models.UUIDField(null=True)
    data = models.JSONField(_("data"))
    # The moment of the insert, not of the transaction's start: it rises within a subject.
    created_at = models.DateTimeField(
        _("created"), db_default=models.Func(function="clock_timestamp", output_field=models.DateTimeField())
    )
    # The place in the order of the feed, given after the commit (`services.numbering`). NULL until then.
    position = models.BigIntegerField(null=True, unique=True)

    class Meta:
        db_table = "outbox_messages"
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [
            models.Index(fields=["id"], condition=models.Q(position__isnull=True), name="messages_to_number"),
            models.Index(fields=["created_at"], name="messages_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.public_id}"


class MessageSubscriber(models.Model):
    """Another service that wants messages of some kinds: sent to its URL, or, without one, read at the feed."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    url = models.CharField(_("URL"), max_length=500, blank=True, db_default="", default="")
    kinds = ArrayField(models.CharField(max_length=40), verbose_name=_("messages"))
    is_active = models.BooleanField(_("active"), db_default=True, default=True)
    # A part of this service that reads the messages: settings say whether it is active, and the admin does not show it.
    is_internal = models.BooleanField(db_default=False, default=False, editable=False)
    secret = models.CharField(max_length=100, editable=False)
    # Signs, too, until it is no longer valid.
    previous_secret = models.CharField(max_length=100, null=True, editable=False)
    previous_valid_until = models.DateTimeField(_("previous secret valid until"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    # --- What delivering writes ---------------------------------------------------------------------------------------
    paused_at = models.DateTimeField(_("paused since"), null=True, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    failures = models.IntegerField(_("failures in a row"), db_default=0, default=0, editable=False)
    not_before = models.DateTimeField(null=True, editable=False)  # no attempt until then
    # One task at a time delivers to a subscriber: whoever has the lease, until it is over.
    lease = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "outbox_subscribers"
        verbose_name = _("subscriber")
        verbose_name_plural = _("subscribers")

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """A message on its way to a subscriber's URL."""

    class Status(models.TextChoices):
        PENDING = "pending", _("waiting to be sent")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("given up")

    id = models.BigAutoField(primary_key=True)
    subscriber = models.ForeignKey(
        MessageSubscriber,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="deliveries",
        verbose_name=_("subscriber"),
    )
    message = models.ForeignKey(
        OutboxMessage, on_delete=models.CASCADE, related_name="deliveries", verbose_name=_("message")
    )
    # Of the message, so that the next one to send is found in one index.
    subject_id = models.UUIDField()
    position = models.BigIntegerField()
    status = models.CharField(_("status"), max_length=10, choices=Status, db_default=Status.PENDING)
    attempts = models.IntegerField(_("attempts"), db_default=0)
    pending_since = models.DateTimeField(_("pending since"), db_default=Now())
    next_attempt_at = models.DateTimeField(_("next attempt"), db_default=Now())
    delivered_at = models.DateTimeField(_("delivered"), null=True)

    class Meta:
        db_table = "outbox_deliveries"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "message"], name="message_delivered_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "delivered", "failed"]), name="delivery_status_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["subscriber", "position"],
                condition=models.Q(status="pending"),
                name="deliveries_pending",
            ),
            models.Index(
                fields=["subscriber", "subject_id", "position"],
                condition=models.Q(status="pending"),
                name="deliveries_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message} → {self.subscriber}"


class Attempt(models.Model):
    """One attempt to deliver: what was sent, and what was answered."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts_made")
    at = models.DateTimeField(_("sent"))
    seconds = models.FloatField(_("seconds"))
    sent_headers = models.JSONField(_("headers sent"))
    http_status = models.SmallIntegerField(_("HTTP status"), null=True)  # NULL: no answer
    error = models.TextField(_("error"), db_default="")
    answer = models.TextField(_("answer"), db_default="")  # its beginning

    class Meta:
        db_table = "outbox_attempts"
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.http_status or self.error}"
