"""Table `seats`."""

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models import Event


class Seat(models.Model):
    """One seat of one event. Its reservation is found through `reservation_items`."""

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
    # The seat's middle, in seats to the right of the middle of the stage and rows behind the stage.
    x = models.FloatField(db_default=0, editable=False)
    y = models.FloatField(db_default=0, editable=False)
    # Neighbours have consecutive positions in one row and block; between blocks are aisles. Block 0: somebody who does not
    # know these columns has added the seat, and `services.place_seats` has not placed it yet.
    block = models.SmallIntegerField(db_default=0, editable=False)
    position = models.IntegerField(db_default=0, editable=False)
    accessible = models.BooleanField(_("accessible"), db_default=False)
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
        indexes = [models.Index(fields=["event"], condition=models.Q(block=0), name="seats_to_place")]

    def __str__(self) -> str:
        return self.seat_label
