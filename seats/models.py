"""Table `seats`."""

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models import Event


class Seat(models.Model):
    """One seat of one event. Who has it stands in `reservation_items`."""

    class Status(models.TextChoices):
        AVAILABLE = "available", _("available")
        LOCKED = "locked", _("locked")
        SOLD = "sold", _("sold")

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    event = models.ForeignKey(
        Event, on_delete=models.CASCADE, related_name="seats", db_index=False, verbose_name=_("event")
    )
    section = models.CharField(_("section"), max_length=50)
    row_number = models.IntegerField(_("row"))
    seat_number = models.IntegerField(_("number"))
    seat_label = models.CharField(_("seat"), max_length=20)
    price = models.IntegerField(_("price (won)"))
    status = models.CharField(_("status"), max_length=20, choices=Status, db_default=Status.AVAILABLE)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "seats"
        verbose_name = _("seat")
        verbose_name_plural = _("seats")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "section", "row_number", "seat_number"], name="seat_once_per_event"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["available", "locked", "sold"]), name="seat_status_known"
            ),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="seat_price_not_negative"),
        ]

    def __str__(self) -> str:
        return self.seat_label
