"""Table `ticket_types`."""

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models import Event


class TicketType(models.Model):
    """A kind of ticket for an event, and how many are left of it (its stock)."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="ticket_types", verbose_name=_("event"))
    name = models.CharField(_("name"), max_length=255)
    price = models.IntegerField(_("price (won)"))
    total_quantity = models.IntegerField(_("total quantity"))
    available_quantity = models.IntegerField(_("available quantity"))
    description = models.TextField(_("description"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "ticket_types"
        verbose_name = _("ticket type")
        verbose_name_plural = _("ticket types")
        constraints = [
            models.CheckConstraint(condition=models.Q(price__gte=0), name="ticket_price_not_negative"),
            models.CheckConstraint(
                condition=models.Q(available_quantity__range=(0, models.F("total_quantity"))),
                name="ticket_stock_within_total",
            ),
        ]

    def __str__(self) -> str:
        return self.name
