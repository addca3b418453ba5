"""Change forms of events and their ticket types."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.forms import Textarea, TextInput, ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from events.errors import ImpossibleLayout
from events.models import Event
from events.services.layouts import plain_name, sections_of
from kernel.backoffice.display import error_message
from kernel.backoffice.forms import ReasonMixin, limit_numbers
from kernel.backoffice.merging import MergingForm

PLAUSIBLE_YEARS = range(2000, 2101)
MAX_INTEGER = 2**31 - 1


def _leads_where_it_says(url: str) -> bool:
    """A path on this site, or a URL with a host. Browsers read a backslash as a slash, and skip control characters."""
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        return False
    return bool(re.match(r"/(?!/)|https?://[^/]", url, re.IGNORECASE))


class TicketTypeForm(MergingForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit_numbers(self, {"price": (0, MAX_INTEGER), "total_quantity": (0, MAX_INTEGER)})

    def clean_total_quantity(self) -> int:
        """Rejects a total below what is locked or sold, as far as this form knows: `services.change_total` decides."""
        total: int = self.cleaned_data["total_quantity"]
        ticket_type = self.instance
        if ticket_type.available_quantity is not None:
            unavailable = self.initial["total_quantity"] - ticket_type.available_quantity
            if total < unavailable:
                raise ValidationError(
                    _("%(count)s tickets are already locked or sold."), params={"count": f"{unavailable:,}"}
                )
        return total


class EventForm(ReasonMixin):
    class Meta:
        help_texts = {
            "event_date": _("The sale ends at this time at the latest."),
            "seat_layout": _("Seats are created when the event is saved. Leave empty to sell tickets without seats."),
            "max_seats_per_reservation": _("Leave empty to use the default."),
            "forbids_orphan_seats": _(
                "Seats that a buyer chooses are refused if they would leave a single available seat between others, unless "
                "there is no other way. The buyer is shown seats that leave none."
            ),
            "max_tickets_per_buyer": _("Seats and tickets together, pending and paid. Leave empty to use the default."),
            "cancellation_hours": _(
                "Until so many hours before the event buyers may cancel what they have paid. Leave empty to use the default."
            ),
            "has_waitlist": _(
                "Buyers may wait while the event is sold out. What comes back is offered to the first in order."
            ),
            "poster_image_url": _("A URL, or a path on this site."),
        }
        widgets = {
            "poster_image_url": TextInput(attrs={"class": "vTextField"}),
            "description": Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        numbers = {
            "max_seats_per_reservation": (1, 100),
            "max_tickets_per_buyer": (1, 10_000),
            "cancellation_hours": (0, 8760),
        }
        limit_numbers(self, numbers)
        if self.instance._state.adding:
            # The default of the key is an expression of PostgreSQL, which the formset of ticket types would take for a key.
            self.instance.pk = None

    def clean_poster_image_url(self) -> str | None:
        url: str | None = self.cleaned_data["poster_image_url"]
        if url and not _leads_where_it_says(url):
            raise ValidationError(_("Enter a URL that starts with https://, or a path that starts with /."))
        return url

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self._check_dates(cleaned)
        layout = cleaned.get("seat_layout")
        if layout is not None:
            try:
                sections_of(layout.layout_config)
            except ImpossibleLayout as error:
                self.add_error("seat_layout", error_message(error))
        return cleaned

    def _check_dates(self, cleaned: dict[str, Any]) -> None:
        sale_start, sale_end, event_date = (
            cleaned.get(name) for name in ("sale_start_date", "sale_end_date", "event_date")
        )
        for name, at in {"sale_start_date": sale_start, "sale_end_date": sale_end, "event_date": event_date}.items():
            if at and at.year not in PLAUSIBLE_YEARS:
                self.add_error(name, _("The year must be from 2000 to 2100."))
        if sale_start and sale_end and sale_start >= sale_end:
            self.add_error("sale_end_date", _("The sale must end after it starts."))
        if sale_start and event_date and sale_start >= event_date:
            self.add_error("sale_start_date", _("The sale must start before the event does."))
        if event_date and self.instance.pk is None and event_date <= timezone.now():
            self.add_error("event_date", _("This time is in the past."))


def warnings_of(event: Event) -> Iterator[str]:
    """What can be saved, and is probably not meant."""
    if event.sale_end_date > event.event_date:
        yield gettext("The sale will end when the event starts, before the sale end date.")
    if event.status == Event.Status.CANCELLED:
        yield gettext("This event is cancelled. New dates do not put it on sale again.")
    names = Counter(plain_name(name) for name in event.ticket_types.values_list("name", flat=True))
    for name in (name for name, count in names.items() if count > 1):
        yield gettext("Several ticket types are named “%s”. Buyers cannot tell them apart.") % name
    if event.seat_layout_id is None and not event.ticket_types.filter(total_quantity__gt=0).exists():
        yield gettext("This event has nothing to sell: no seat layout, and no tickets.")
