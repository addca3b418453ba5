"""Events with their ticket types: the list with what is sold, the form, cancelling."""

import re
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import Count, Q, QuerySet, Sum
from django.forms import ModelForm, Textarea, TextInput, ValidationError
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timeuntil
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from events.errors import ImpossibleLayout
from events.models import Event
from events.services.layouts import sections_of
from kernel.backoffice.actions import Act, ActingAdmin, StaffMayLook, WhyForm, keep_within, moment, said
from kernel.db.sql import after_commit
from kernel.errors import DomainError
from reservations import services
from reservations.admin import live
from reservations.models import Reservation
from reservations.statistics import counts_by_event
from seats.services import event_was_saved
from tickets.models import TicketType

PLAUSIBLE_YEARS = range(2000, 2101)


# --- Ticket types -----------------------------------------------------------------------------------------------------


class TicketTypeForm(ModelForm):
    class Meta:
        labels = {"total_quantity": _("in all")}

    def clean_price(self) -> int:
        price: int = self.cleaned_data["price"]
        if price < 0:
            raise ValidationError(_("A price is 0 or more."))
        return price

    def clean_total_quantity(self) -> int:
        """What is left is not entered: it follows. See `services.change_total`, which has the last word."""
        total: int = self.cleaned_data["total_quantity"]
        if total < 0:
            raise ValidationError(_("0 or more."))
        ticket = self.instance
        if ticket.available_quantity is not None:
            taken = self.initial["total_quantity"] - ticket.available_quantity
            if total < taken:
                raise ValidationError(_("%(taken)s are held or sold already."), params={"taken": taken})
        return total


class TicketTypeInline(StaffMayLook, admin.TabularInline):
    model = TicketType
    form = TicketTypeForm
    extra = 0
    fields = ("name", "price", "total_quantity", "available_quantity", "description")
    readonly_fields = ("available_quantity",)
    formfield_overrides = {models.TextField: {"widget": Textarea(attrs={"rows": 1, "cols": 30})}}


# --- Events -----------------------------------------------------------------------------------------------------------


class EventForm(WhyForm):
    class Meta:
        help_texts = {
            "event_date": _("At this moment the sale is over at the latest."),
            "seat_layout": _("Its seats are made when the event is saved. Empty: tickets without seats."),
            "max_seats_per_reservation": _("Empty: the service's default."),
            "poster_image_url": _("https://… or a path of this site."),
        }
        widgets = {
            "poster_image_url": TextInput(attrs={"class": "vTextField"}),
            "description": Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep_within(self, {"max_seats_per_reservation": (1, 100)})
        if self.instance._state.adding:
            self.instance.pk = None  # its default, PostgreSQL's, would pass for a key with the ticket types' formset

    def clean_poster_image_url(self) -> str | None:
        address: str | None = self.cleaned_data["poster_image_url"]
        if address and not re.match(r"/(?!/)|https?://", address, re.IGNORECASE):  # "//" begins another site's
            raise ValidationError(_("An address starts with https:// or /."))
        return address

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        starts, ends, begins = (cleaned.get(name) for name in ("sale_start_date", "sale_end_date", "event_date"))
        for name, at in {"sale_start_date": starts, "sale_end_date": ends, "event_date": begins}.items():
            if at and at.year not in PLAUSIBLE_YEARS:
                self.add_error(name, _("The year must be from 2000 to 2100."))
        if starts and ends and starts >= ends:
            self.add_error("sale_end_date", _("The sale must end after it starts."))
        if starts and begins and starts >= begins:
            self.add_error("sale_start_date", _("The event begins before its sale does, so nothing could be sold."))
        if begins and self.instance.pk is None and begins <= timezone.now():
            self.add_error("event_date", _("This moment has passed."))
        layout = cleaned.get("seat_layout")
        if layout is not None:
            try:
                sections_of(layout.layout_config)
            except ImpossibleLayout as refusal:
                self.add_error("seat_layout", said(refusal))
        return cleaned


class SaleFilter(admin.SimpleListFilter):
    title = _("sale")
    parameter_name = "sale"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [("now", _("going on now")), ("week", _("starts within a week")), ("over", _("over"))]

    def queryset(self, request: HttpRequest, events: QuerySet[Event]) -> QuerySet[Event]:  # noqa: ARG002
        now = timezone.now()
        match self.value():
            case "now":
                return events.filter(sale_start_date__lte=now, sale_end_date__gt=now, event_date__gt=now).exclude(
                    status=Event.Status.CANCELLED
                )
            case "week":
                return events.filter(sale_start_date__gt=now, sale_start_date__lte=now + timedelta(days=7))
            case "over":
                return events.filter(Q(sale_end_date__lte=now) | Q(event_date__lte=now))
        return events


class EventList(ChangeList):
    """With what is free, held and sold of each event of the page: one more query, however many they are."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        places = counts_by_event([event.id for event in self.result_list])
        for event in self.result_list:
            event.places = places[event.id]


def _cancel(event: Event) -> str:
    ended = services.cancel_event(event_id=event.id)
    return ngettext("cancelled, %(count)s reservation ended.", "cancelled, %(count)s reservations ended.", ended) % {
        "count": f"{ended:,}"
    }


def _what_cancelling_ends(event: Event) -> str:
    live = Reservation.objects.filter(event=event, status__in=["pending", "confirmed"])
    paid = Q(status=Reservation.Status.CONFIRMED)
    found = live.aggregate(
        paid=Count("id", filter=paid), pending=Count("id", filter=~paid), money=Sum("total_amount", filter=paid)
    )
    return gettext("%(paid)s paid reservations (₩%(money)s to give back), %(pending)s waiting for payment") % {
        "paid": f"{found['paid']:,}", "money": f"{found['money'] or 0:,}", "pending": f"{found['pending']:,}",
    }  # fmt: skip


@admin.register(Event)
class EventAdmin(ActingAdmin):
    form = EventForm
    list_display = ("shown_title", "shown_status", "sale_window", "begins", "shown_places")
    list_filter = ("status", SaleFilter, ("seat_layout", admin.RelatedOnlyFieldListFilter))
    list_per_page = 25
    search_fields = ("title", "artist_name", "venue", "address")
    search_help_text = _("Title, artist, venue or address")
    date_hierarchy = "event_date"
    ordering = ("-sale_start_date", "id")
    # The status follows the clock and the sale; cancelling is an act.
    readonly_fields = ("shown_status", "updated")
    fieldsets = (
        (None, {"fields": (("title", "artist_name"), ("venue", "address"), "poster_image_url", "description")}),
        (_("Dates"), {"fields": ("event_date", "sale_start_date", "sale_end_date")}),
        (_("Seats"), {"fields": (("seat_layout", "max_seats_per_reservation"),)}),
        (_("State"), {"fields": (("shown_status", "updated"), "why")}),
    )
    inlines = (TicketTypeInline,)
    acts = (
        Act(
            name="cancel",
            label=_("cancel the event"),
            question=_(
                "Nothing more is sold, and every reservation ends. Those that are paid are marked for a refund, which the "
                "payment service carries out. There is no way back."
            ),
            run=_cancel,
            may=lambda event: event.status != Event.Status.CANCELLED,
            about=_what_cancelling_ends,
            for_many=True,
            is_danger=True,
            in_batches=True,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        return [*live.urls(self), *super().get_urls()]

    def links(self, request: HttpRequest, obj: Event) -> list[tuple[str, str]]:  # noqa: ARG002
        reservations = reverse("admin:reservations_reservation_changelist")
        return [
            (gettext("reservations"), f"{reservations}?event__id__exact={obj.id}"),
            (gettext("live page"), self.url_of("live", obj.id)),
        ]

    # --- The list -----------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        return EventList

    @admin.display(description=_("event"), ordering="title")
    def shown_title(self, event: Event) -> SafeString:
        artist = f"{event.artist_name} · " if event.artist_name else ""
        return format_html('{}<span class="sub">{}{}</span>', event.title, artist, event.venue)

    @admin.display(description=_("status"), ordering="status")
    def shown_status(self, event: Event) -> SafeString:
        if event.pk is None:
            return SafeString("-")
        url = self.url_of("live", event.id)
        return format_html(
            '{}<a class="live-link" href="{}">{}</a>', live.status_badge(event), url, gettext("live page")
        )

    @admin.display(description=_("last changed"))
    def updated(self, event: Event) -> str:
        return moment(event.updated_at if event.pk else None)

    @admin.display(description=_("sale"), ordering="sale_start_date")
    def sale_window(self, event: Event) -> SafeString:
        return format_html(
            '<span class="number">{}<br>{}</span><span class="sub">{}</span>',
            moment(event.sale_start_date), moment(event.sale_end_date), _until(event),
        )  # fmt: skip

    @admin.display(description=_("begins"), ordering="event_date")
    def begins(self, event: Event) -> SafeString:
        return format_html('<span class="number">{}</span>', moment(event.event_date))

    @admin.display(description=_("sold (held) of"))
    def shown_places(self, event: Any) -> SafeString:
        taken = {gettext("seats"): event.places.seats, gettext("tickets"): event.places.tickets}
        bars = (render_to_string("reservations/bar.html", {"what": what, "taken": of}) for what, of in taken.items())
        return format_html_join("", "{}", ((bar,) for bar in bars))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A layout is made and changed on its own page: no four icons beside it."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "seat_layout":
            widget = field.widget
            widget.can_add_related = widget.can_change_related = widget.can_delete_related = False
        return field

    # --- Saving -------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Event, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        """Writes only what was changed: the status and others' edits move meanwhile. A changed layout goes through its
        operation, which refuses when seats are taken.
        """
        if change:
            columns = {field.name for field in Event._meta.concrete_fields} & set(form.changed_data) - {"seat_layout"}
            obj.save(update_fields=[*columns, "updated_at"])
            if "seat_layout" in form.changed_data:
                try:
                    services.change_layout(event_id=obj.id, layout_id=obj.seat_layout_id)
                except DomainError as refusal:
                    self.message_user(request, said(refusal), messages.ERROR)
        else:
            obj.pk = Event._meta.pk.get_default()  # PostgreSQL makes it
            obj.save()
        self._warn(request, obj)
        after_commit(event_was_saved, event_id=obj.id)

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: Any, change: bool) -> None:  # noqa: FBT001, ARG002
        """Stock moves while the form is open: what is left is never written, and the total by its operation."""
        formset.save(commit=False)
        for ticket in formset.deleted_objects:
            ticket.delete()
        for ticket in formset.new_objects:
            ticket.available_quantity = ticket.total_quantity
            ticket.save()
        for ticket, columns in formset.changed_objects:
            ticket.save(update_fields=[*(set(columns) - {"total_quantity"}), "updated_at"])
            if "total_quantity" in columns:
                try:
                    services.change_total(ticket_type_id=ticket.id, total=ticket.total_quantity)
                except DomainError as refusal:
                    self.message_user(request, said(refusal), messages.ERROR)

    def _warn(self, request: HttpRequest, event: Event) -> None:
        if event.sale_end_date > event.event_date:
            self.message_user(
                request, gettext("The sale ends when the event begins, which is before its own end."), messages.WARNING
            )
        if event.status in (Event.Status.ENDED, Event.Status.CANCELLED):
            self.message_user(
                request, gettext("This event is over: other dates do not put it on sale again."), messages.WARNING
            )

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:  # noqa: ARG002
        return False  # an event is cancelled, never deleted with its sales


def _until(event: Event) -> str:
    """What comes next in the sale, and in how long."""
    now = timezone.now()
    over = min(event.sale_end_date, event.event_date)
    if event.status == Event.Status.CANCELLED or over <= now:
        return ""
    if event.sale_start_date > now:
        return gettext("starts in %s") % timeuntil(event.sale_start_date, now, depth=1)
    return gettext("ends in %s") % timeuntil(over, now, depth=1)
