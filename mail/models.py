"""Tables `mails` and `mail_progress`."""

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class MailKind(models.TextChoices):
    """What a mail tells. Its templates are named so."""

    TICKET = "ticket", _("ticket")
    REFUND_DUE = "refund_due", _("refund due")
    REFUNDED = "refunded", _("refunded")
    EVENT_MOVED = "event_moved", _("event moved")
    EVENT_CANCELLED = "event_cancelled", _("event cancelled")
    WAITLIST_OFFER = "waitlist_offer", _("offer from the waiting list")


class Mail(models.Model):
    """A message of the outbox on its way to one buyer. It has ids and amounts: the name and address are in `contacts`."""

    class Status(models.TextChoices):
        PENDING = "pending", _("waiting to be sent")
        SENDING = "sending", _("being sent")
        SENT = "sent", _("handed to the mail server")
        FAILED = "failed", _("given up")
        # Handed to the mail server, which has not said whether it took it: never sent again by itself.
        UNCERTAIN = "uncertain", _("perhaps sent")
        DROPPED = "dropped", _("not sent")  # there was no address, or nothing left to say

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)  # of the header Message-ID
    message_id = models.UUIDField()  # `public_id` of the outbox' message, which is not kept for as long
    user_id = models.UUIDField(_("user"))
    kind = models.CharField(_("kind"), max_length=20, choices=MailKind)
    event_id = models.UUIDField(null=True)
    reservation_id = models.UUIDField(null=True)
    data = models.JSONField()  # the message's
    status = models.CharField(_("status"), max_length=10, choices=Status, db_default=Status.PENDING)
    attempts = models.IntegerField(_("attempts"), db_default=0)
    pending_since = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(_("next attempt"), db_default=Now())
    # While it is being sent: since when, and when it was handed over. From then on it may have been sent.
    claimed_at = models.DateTimeField(null=True)
    handed_over_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    error = models.TextField(_("error"), db_default="")  # of the last attempt, without addresses
    created_at = models.DateTimeField(_("created"), db_default=Now())

    class Meta:
        db_table = "mails"
        verbose_name = _("mail")
        verbose_name_plural = _("mails")
        constraints = [
            models.UniqueConstraint(fields=["message_id", "user_id"], name="mailed_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "sending", "sent", "failed", "uncertain", "dropped"]),
                name="mail_status_known",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], condition=models.Q(status="pending"), name="mails_pending"),
            models.Index(
                fields=["user_id", "id"], condition=models.Q(status__in=["pending", "sending"]), name="mails_in_order"
            ),
            models.Index(fields=["claimed_at"], condition=models.Q(status="sending"), name="mails_being_sent"),
            models.Index(fields=["user_id"], name="mails_by_user"),
            models.Index(fields=["reservation_id"], name="mails_by_reservation"),
            models.Index(fields=["created_at"], name="mails_by_age"),
        ]

    def __str__(self) -> str:
        return f"{MailKind(self.kind).label} {self.public_id}"


class MailProgress(models.Model):
    """One row: how far the outbox was read, who is sending, and whether the mail server answers."""

    position = models.BigIntegerField()  # of the last message that was read
    lease = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    failures = models.IntegerField(db_default=0)  # connections in a row that failed
    not_before = models.DateTimeField(null=True)  # no connection until then

    class Meta:
        db_table = "mail_progress"

    def __str__(self) -> str:
        return str(self.position)
