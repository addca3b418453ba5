"""Organisers: events with their ticket types, layouts, keyword mappings; reservations to look at.

Events are administrated here and not in `events`, because saving one makes seats, which are ours.
"""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.forms import ModelForm, Textarea
from django.http import HttpRequest

from events.errors import ImpossibleLayout
from events.layouts import sections_of
from events.models import Event, KeywordMapping, SeatLayout
from kernel.database import after_commit
from kernel.errors import Refused
from seats import effects, services
from seats.models import Reservation, ReservationItem
from tickets.models import TicketType


class TicketTypeInline(admin.TabularInline):
    model = TicketType
    extra = 0
    fields = ("name", "price", "total_quantity", "available_quantity", "description")
    formfield_overrides = {models.TextField: {"widget": Textarea(attrs={"rows": 1, "cols": 30})}}


class EventForm(ModelForm):
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        start, end = cleaned.get("sale_start_date"), cleaned.get("sale_end_date")
        if start and end and start > end:
            self.add_error("sale_end_date", "The sale ends before it starts.")
        layout = cleaned.get("seat_layout")
        if layout is not None:
            try:
                sections_of(layout.layout_config)
            except ImpossibleLayout as refusal:
                self.add_error("seat_layout", refusal.message)
        return cleaned


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):
    form = EventForm
    list_display = ("title", "status", "venue", "event_date", "sale_start_date", "sale_end_date")
    list_filter = ("status",)
    search_fields = ("title", "artist_name", "venue")
    date_hierarchy = "event_date"
    # The status follows the clock and the sale; cancelling is an action.
    readonly_fields = ("id", "status", "created_at", "updated_at")
    inlines = [TicketTypeInline]
    actions = ["cancel_events"]

    def save_model(self, request: HttpRequest, obj: Event, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        """A changed layout goes through its operation, which refuses when seats are taken."""
        layout_id = obj.seat_layout_id
        if change and "seat_layout" in form.changed_data:
            obj.seat_layout_id = form.initial["seat_layout"]
            super().save_model(request, obj, form, change)
            try:
                services.change_layout(event_id=obj.id, layout_id=layout_id)
            except Refused as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
        else:
            super().save_model(request, obj, form, change)
        after_commit(effects.event_was_saved, event_id=obj.id)

    @admin.action(description="Cancel: end every reservation, mark paid ones for a refund")
    def cancel_events(self, request: HttpRequest, chosen: QuerySet[Event]) -> None:
        for event in chosen:
            ended = services.cancel_event(event_id=event.id)
            self.log_change(request, event, f"Cancelled; {ended} reservations ended.")
            self.message_user(request, f"{event.title}: cancelled, {ended} reservations ended.")

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:  # noqa: ARG002
        return False  # an event is cancelled, never deleted with its sales


class SeatLayoutForm(ModelForm):
    def clean_layout_config(self) -> Any:
        layout_config = self.cleaned_data["layout_config"]
        try:
            sections_of(layout_config)
        except ImpossibleLayout as refusal:
            raise ValidationError(refusal.message) from refusal
        return layout_config


@admin.register(SeatLayout)
class SeatLayoutAdmin(admin.ModelAdmin):
    form = SeatLayoutForm
    list_display = ("name", "total_seats")
    exclude = ("total_seats",)  # counted

    def get_readonly_fields(self, request: HttpRequest, obj: SeatLayout | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """The seats of events were made from it; they would not follow. An event may be given another layout."""
        return ("layout_config",) if obj is not None and obj.events.exists() else ()

    def save_model(self, request: HttpRequest, obj: SeatLayout, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        obj.total_seats = sum(section.rows * section.seats_per_row for section in sections_of(obj.layout_config))
        super().save_model(request, obj, form, change)


@admin.register(KeywordMapping)
class KeywordMappingAdmin(admin.ModelAdmin):
    list_display = ("korean", "english", "entity_type")
    search_fields = ("korean", "english")


class ReservationItemInline(admin.TabularInline):
    model = ReservationItem
    extra = 0
    can_delete = False
    readonly_fields = ("seat", "ticket_type", "quantity", "unit_price", "subtotal")

    def has_add_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Reservation)
class ReservationAdmin(admin.ModelAdmin):
    """To look at. Reservations change by operations, never by editing rows."""

    list_display = ("reservation_number", "event", "user_id", "status", "payment_status", "total_amount", "created_at")
    list_filter = ("status", "payment_status")
    list_select_related = ("event",)
    search_fields = ("reservation_number", "user_id")
    inlines = [ReservationItemInline]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False
