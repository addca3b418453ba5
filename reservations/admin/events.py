"""Events with their ticket types: the list with sales figures, saving, cancelling."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import Count, Q, QuerySet, Sum
from django.forms import ModelForm, Textarea
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timeuntil
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from events.models import Event
from events.services.searching import index_event
from kernel.backoffice.actions import ObjectAction, ObjectActionAdmin
from kernel.backoffice.choosers import ChooserListFilter
from kernel.backoffice.display import format_time
from kernel.backoffice.merging import MergingFormSet
from kernel.backoffice.permissions import StaffReadOnlyMixin
from kernel.db.sql import after_commit
from reservations import services
from reservations.admin import live
from reservations.admin.event_forms import EventForm, TicketTypeForm, warnings_of
from reservations.models import Reservation
from reservations.statistics import count_by_state
from seats.models import Seat
from seats.services import event_was_saved, read_progress
from tickets.models import TicketType


class TicketTypeInline(StaffReadOnlyMixin, admin.TabularInline):
    model = TicketType
    form = TicketTypeForm
    formset = MergingFormSet
    extra = 0
    fields = ("name", "price", "total_quantity", "available_quantity", "description")
    readonly_fields = ("available_quantity",)
    formfield_overrides = {models.TextField: {"widget": Textarea(attrs={"rows": 1, "cols": 30})}}


# --- The list ---------------------------------------------------------------------------------------------------------


class SaleFilter(admin.SimpleListFilter):
    title = _("sale")
    parameter_name = "sale"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [("now", _("In progress")), ("week", _("Starts within 7 days")), ("over", _("Ended"))]

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


class EventChangeList(ChangeList):
    """Adds `counts` to each event of the page: one more query, however many events there are."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        counts = count_by_state([event.id for event in self.result_list])
        for event in self.result_list:
            event.counts = counts[event.id]


# --- Cancelling -------------------------------------------------------------------------------------------------------


def _cancel(event: Event) -> str:
    ended = services.cancel_event(event_id=event.id)
    return ngettext("cancelled, %(count)s reservation ended.", "cancelled, %(count)s reservations ended.", ended) % {
        "count": f"{ended:,}"
    }


def _describe_reservations(event: Event) -> str:
    live_reservations = Reservation.objects.filter(event=event, status__in=["pending", "confirmed"])
    is_paid = Q(status=Reservation.Status.CONFIRMED)
    totals = live_reservations.aggregate(
        paid=Count("id", filter=is_paid),
        pending=Count("id", filter=~is_paid),
        amount=Sum("total_amount", filter=is_paid),
    )
    return gettext("%(paid)s paid reservations (₩%(amount)s to refund), %(pending)s pending") % {
        "paid": f"{totals['paid']:,}", "amount": f"{totals['amount'] or 0:,}", "pending": f"{totals['pending']:,}",
    }  # fmt: skip


# --- Events -----------------------------------------------------------------------------------------------------------


@admin.register(Event)
class EventAdmin(ObjectActionAdmin):
    form = EventForm
    list_display = ("title_and_venue", "status_with_link", "sale_period", "starts", "sales_bars")
    list_filter = ("status", SaleFilter, ("seat_layout", ChooserListFilter))
    list_per_page = 25
    search_fields = ("title", "artist_name", "venue", "address")
    search_help_text = _("Title, artist, venue or address")
    date_hierarchy = "event_date"
    ordering = ("-sale_start_date", "id")
    # The status follows the clock and the sale; cancelling is an object action.
    readonly_fields = ("status_with_link", "updated", "seat_progress")
    fieldsets = (
        (None, {"fields": (("title", "artist_name"), ("venue", "address"), "poster_image_url", "description")}),
        (_("Dates"), {"fields": ("event_date", "sale_start_date", "sale_end_date")}),
        (_("Cancelling"), {"fields": ("cancellation_hours",)}),
        (
            capfirst(_("seats")),
            {"fields": (("seat_layout", "max_seats_per_reservation"), "forbids_orphan_seats", "seat_progress")},
        ),
        (_("Limits per buyer"), {"fields": ("max_tickets_per_buyer",)}),
        (_("Waiting list"), {"fields": ("has_waitlist",)}),
        (capfirst(_("status")), {"fields": (("status_with_link", "updated"), "reason")}),
    )
    inlines = (TicketTypeInline,)
    object_actions = (
        ObjectAction(
            name="cancel",
            label=_("Cancel event"),
            question=_(
                "Stops the sale and ends every reservation. Paid reservations are marked for a refund, which the payment "
                "service carries out. This cannot be undone."
            ),
            run=_cancel,
            is_idempotent=True,
            is_available=lambda event: event.status != Event.Status.CANCELLED,
            describe=_describe_reservations,
            in_changelist=True,
            is_destructive=True,
            commits_in_batches=True,
        ),
    )

    class Media:
        js = ("reservations/seat_progress.js",)

    def get_urls(self) -> list[URLPattern]:
        return [*live.get_urls(self), *super().get_urls()]

    def get_object_links(self, request: HttpRequest, obj: Event) -> list[tuple[str, str]]:  # noqa: ARG002
        reservations = reverse("admin:reservations_reservation_changelist")
        return [
            (gettext("reservations"), f"{reservations}?event__id__exact={obj.id}"),
            (
                gettext("Waiting list"),
                f"{reverse('admin:reservations_waitlistentry_changelist')}?event__id__exact={obj.id}",
            ),
            (gettext("Live page"), self.object_url("live", obj.id)),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        return EventChangeList

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:  # noqa: ARG002
        return False  # an event is cancelled, never deleted with its sales

    def describe_choice(self, obj: Event) -> str:
        return f"{format_time(obj.event_date)} · {obj.venue}"

    # --- Columns ------------------------------------------------------------------------------------------------------

    @admin.display(description=_("event"), ordering="title")
    def title_and_venue(self, event: Event) -> SafeString:
        artist = f"{event.artist_name} · " if event.artist_name else ""
        return format_html('{}<span class="sub">{}{}</span>', event.title, artist, event.venue)

    @admin.display(description=_("status"), ordering="status")
    def status_with_link(self, event: Event) -> SafeString:
        if event.pk is None:
            return SafeString("-")
        url = self.object_url("live", event.id)
        return format_html(
            '{}<a class="live-link" href="{}">{}</a>', live.status_badge(event), url, gettext("Live page")
        )

    @admin.display(description=_("generated seats"))
    def seat_progress(self, event: Event) -> SafeString | str:
        """The number of seats; while they are being generated or replaced, how far that is; why it has failed."""
        progress = read_progress(event.id) if event.pk else None
        if progress is None:
            return f"{Seat.objects.filter(event_id=event.id).count():,}" if event.pk else "-"
        return render_to_string("reservations/seat_progress.html", {"progress": progress})

    @admin.display(description=_("last changed"))
    def updated(self, event: Event) -> str:
        return format_time(event.updated_at if event.pk else None)

    @admin.display(description=_("sale"), ordering="sale_start_date")
    def sale_period(self, event: Event) -> SafeString:
        return format_html(
            '<span class="number">{}<br>{}</span><span class="sub">{}</span>',
            format_time(event.sale_start_date), format_time(event.sale_end_date), _next_in_sale(event),
        )  # fmt: skip

    @admin.display(description=_("event date"), ordering="event_date")
    def starts(self, event: Event) -> SafeString:
        return format_html('<span class="number">{}</span>', format_time(event.event_date))

    @admin.display(description=_("sold (locked) / total"))
    def sales_bars(self, event: Any) -> SafeString:
        counts = {gettext("seats"): event.counts.seats, gettext("tickets"): event.counts.tickets}
        bars = (
            render_to_string("reservations/bar.html", {"label": label, "counts": of}) for label, of in counts.items()
        )
        return format_html_join("", "{}", ((bar,) for bar in bars))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the icons beside the layout: layouts are edited on their own page."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "seat_layout":
            widget = field.widget
            widget.can_add_related = widget.can_change_related = widget.can_delete_related = False
        return field

    # --- Saving -------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Event, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        """Writes only changed columns, since the status and other edits may change while the form is open.

        A changed layout goes through its operation, which refuses when seats are locked or sold.
        """
        if change:
            obj.save(update_fields=self.get_changed_columns(obj, form) - {"seat_layout"})
            if "seat_layout" in form.changed_data and not services.request_layout_change(
                event_id=obj.id, layout_id=obj.seat_layout_id
            ):
                self.message_user(request, gettext("The seats are being replaced. This page shows how far it is."))
        else:
            obj.pk = Event._meta.pk.get_default()  # generated by PostgreSQL
            obj.save()
        after_commit(index_event, event_id=obj.id)
        after_commit(event_was_saved, event_id=obj.id)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        super().save_related(request, form, formsets, change)
        self._warn(request, form.instance)

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: Any, change: bool) -> None:  # noqa: FBT001, ARG002
        """Never writes the available quantity, which changes while the form is open. The total has an operation."""
        formset.save(commit=False)
        for ticket_type in formset.deleted_objects:
            ticket_type.delete()
        for ticket_type in formset.new_objects:
            ticket_type.available_quantity = ticket_type.total_quantity
            ticket_type.save()
        for ticket_type, columns in formset.changed_objects:
            ticket_type.save(update_fields=[*(set(columns) - {"total_quantity"}), "updated_at"])
            if "total_quantity" in columns:
                services.change_total(ticket_type_id=ticket_type.id, total=ticket_type.total_quantity)

    def _warn(self, request: HttpRequest, event: Event) -> None:
        for text in warnings_of(event):
            self.message_user(request, text, messages.WARNING)


def _next_in_sale(event: Event) -> str:
    """The time until the sale starts or ends, or "" if it is over."""
    now = timezone.now()
    sale_end = min(event.sale_end_date, event.event_date)
    if event.status == Event.Status.CANCELLED or sale_end <= now:
        return ""
    if event.sale_start_date > now:
        return gettext("starts in %s") % timeuntil(event.sale_start_date, now, depth=1)
    return gettext("ends in %s") % timeuntil(sale_end, now, depth=1)
