"""Organisers: the waiting room's policy of an event."""

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from queueing import draws, services
from queueing.errors import OpeningIsOver
from queueing.models import QueueDraw, QueuePolicy


class QueuePolicyForm(ModelForm):
    def clean_opens_at(self) -> Any:
        opens_at = self.cleaned_data["opens_at"]
        if self.instance.pk is not None:
            before = QueuePolicy.objects.filter(pk=self.instance.pk).values_list("opens_at", flat=True).first()
            try:
                services.refuse_late_opening(event_id=self.instance.pk, before=before, after=opens_at)
            except OpeningIsOver as refusal:
                self.add_error("opens_at", refusal.message)
        return opens_at


@admin.register(QueuePolicy)
class QueuePolicyAdmin(admin.ModelAdmin):
    """What is left empty is the default of the settings. Counts within a second."""

    form = QueuePolicyForm
    list_display = ("event", "is_on", "is_paused", "threshold", "admissions_per_second", "burst", "opens_at")
    list_select_related = ("event",)
    search_fields = ("event__title",)
    autocomplete_fields = ("event",)
    readonly_fields = ("commitment", "cleared_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: QueuePolicy | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return (*self.readonly_fields, "event") if obj is not None else self.readonly_fields

    @admin.display(description="Commitment of the draw (SHA-256 of its seed)")
    def commitment(self, policy: QueuePolicy) -> str:
        held = QueueDraw.objects.filter(event_id=policy.event_id).first()
        return draws.commitment(held.seed) if held else "-"

    def save_model(self, request: HttpRequest, obj: QueuePolicy, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        services.policy_was_saved(event_id=obj.event_id)

    def delete_model(self, request: HttpRequest, obj: QueuePolicy) -> None:
        event_id = obj.event_id
        super().delete_model(request, obj)
        services.policy_was_saved(event_id=event_id)

    def has_delete_permission(self, request: HttpRequest, obj: QueuePolicy | None = None) -> bool:
        """Deleting is going back to the defaults; not while an opening is set, which its draw belongs to."""
        return super().has_delete_permission(request, obj) and obj is not None and obj.opens_at is None
