"""Organisers: the waiting room of an event, its policy and its buttons."""

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from events.models import Event
from kernel.backoffice.actions import Act, ActingAdmin, ReasonForm, WhyForm, badge, keep_within, moment, said
from kernel.errors import Unavailable
from queueing import draws, services
from queueing.errors import QueueAlreadyOpen
from queueing.models import LIMITS, QueueDraw, QueuePolicy
from queueing.selectors import DEFAULTS

# --- Acts -------------------------------------------------------------------------------------------------------------


class LimitsForm(ReasonForm):
    """What is left empty stays as it is."""

    threshold = forms.IntegerField(label=_("how many may be inside"), required=False)
    admissions_per_second = forms.FloatField(label=_("let in per second"), required=False)
    field_order = ("threshold", "admissions_per_second", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep_within(self, LIMITS)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and cleaned["threshold"] is None and cleaned["admissions_per_second"] is None:
            raise forms.ValidationError(_("Nothing to change."))
        return cleaned


def _pause(policy: QueuePolicy) -> str:
    services.change_policy(event_id=policy.event_id, changes={"is_paused": True})
    return gettext("paused: nobody is let in.")


def _resume(policy: QueuePolicy) -> str:
    services.change_policy(event_id=policy.event_id, changes={"is_paused": False})
    return gettext("goes on.")


def _clear(policy: QueuePolicy) -> str:
    stood, inside = services.clear_queue(event_id=policy.event_id)
    return gettext("cleared: %(stood)s stood in line, %(inside)s were inside.") % {
        "stood": f"{stood:,}", "inside": f"{inside:,}",
    }  # fmt: skip


def _change_limits(policy: QueuePolicy, **limits: float | None) -> str:
    changes = {column: value for column, value in limits.items() if value is not None}
    counts = services.change_policy(event_id=policy.event_id, changes=changes)
    return gettext("up to %(threshold)s inside, %(rate)s let in per second.") % {
        "threshold": f"{counts.threshold:,}", "rate": f"{counts.admissions_per_second:,g}",
    }  # fmt: skip


def _who_is_there(policy: QueuePolicy) -> str:
    try:
        found = services.get_queue_state(event_id=policy.event_id)
    except Unavailable as refusal:
        return said(refusal)
    return gettext("%(line)s in line, %(inside)s inside") % {"line": f"{found.size:,}", "inside": f"{found.active:,}"}


# --- The pages --------------------------------------------------------------------------------------------------------


class QueuePolicyForm(WhyForm):
    class Meta:
        help_texts = {
            "threshold": _("0 lets nobody in."),
            "opens_at": _("Who comes before it is drawn by lot. Empty: first come, first served, from the beginning."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Says which default counts where a field is left empty."""
        super().__init__(*args, **kwargs)
        keep_within(self, LIMITS)
        for column, name in DEFAULTS.items():
            if column == "is_on" and column in self.fields:
                default = _("default: on") if getattr(settings, name) else _("default: off")
                self.fields[column].widget.choices = [("unknown", default), ("true", _("on")), ("false", _("off"))]
            elif column in self.fields:
                default = _("Empty: %s, the service's default.") % getattr(settings, name)
                self.fields[column].help_text = f"{self.fields[column].help_text} {default}".strip()

    def clean_opens_at(self) -> Any:
        opens_at = self.cleaned_data["opens_at"]
        if self.instance.pk is not None:
            before = QueuePolicy.objects.filter(pk=self.instance.pk).values_list("opens_at", flat=True).first()
            try:
                services.refuse_late_opening(event_id=self.instance.pk, before=before, after=opens_at)
            except QueueAlreadyOpen as refusal:
                self.add_error("opens_at", said(refusal))
        return opens_at


@admin.register(QueuePolicy)
class QueuePolicyAdmin(ActingAdmin):
    """What is left empty is the default of the settings. Counts within a second."""

    form = QueuePolicyForm
    list_display = ("event", "state", "shown_threshold", "shown_rate", "shown_opening", "live_page")
    list_select_related = ("event",)
    list_filter = ("is_paused", "is_on")
    search_fields = ("event__title",)
    autocomplete_fields = ("event",)
    readonly_fields = ("commitment", "cleared", "updated")
    fieldsets = (
        (None, {"fields": ("event", ("is_on", "is_paused"), "opens_at")}),
        (_("How many"), {"fields": (("threshold", "admissions_per_second"), "burst")}),
        (_("How long"), {"fields": (("admission_seconds", "active_idle_seconds"), ("idle_seconds", "grace_seconds"))}),
        (_("State"), {"fields": ("commitment", ("cleared", "updated"), "why")}),
    )
    acts = (
        Act(
            name="limits",
            label=_("change the limits"),
            question=_("Counts from the next second on. Who is inside stays inside."),
            run=_change_limits,
            about=_who_is_there,
            form=LimitsForm,
        ),
        Act(
            name="pause",
            label=_("pause"),
            question=_("Nobody is let in until it goes on. Who is inside may buy; the line keeps its order."),
            run=_pause,
            may=lambda policy: not policy.is_paused,
            about=_who_is_there,
        ),
        Act(
            name="resume",
            label=_("go on"),
            question=_("People are let in again."),
            run=_resume,
            may=lambda policy: policy.is_paused,
            about=_who_is_there,
        ),
        Act(
            name="clear",
            label=_("send everybody away"),
            question=_(
                "The line and the inside become empty; who comes again stands at the end. There is no way back."
            ),
            run=_clear,
            about=_who_is_there,
            is_danger=True,
        ),
    )

    def acted_on(self, request: HttpRequest, object_id: str) -> QueuePolicy | None:
        """An event without a row has a waiting room, too: one of defaults."""
        found: QueuePolicy | None = super().acted_on(request, object_id)
        if found is not None:
            return found
        try:
            event = Event.objects.filter(id=UUID(object_id)).first()
        except ValueError:
            return None
        return QueuePolicy(event=event) if event else None

    def links(self, request: HttpRequest, obj: QueuePolicy) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(gettext("live page"), reverse("admin:events_event_live", args=[obj.event_id]))]

    def get_readonly_fields(self, request: HttpRequest, obj: QueuePolicy | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return (*self.readonly_fields, "event") if obj is not None else self.readonly_fields

    @admin.display(description=_("state"))
    def state(self, policy: QueuePolicy) -> SafeString:
        if policy.is_on is False:
            return badge(_("off"), "")
        return badge(_("paused"), "warm") if policy.is_paused else badge(_("on"), "good")

    @admin.display(description=_("how many may be inside"), ordering="threshold")
    def shown_threshold(self, policy: QueuePolicy) -> str:
        return _or_default(policy, "threshold")

    @admin.display(description=_("let in per second"), ordering="admissions_per_second")
    def shown_rate(self, policy: QueuePolicy) -> str:
        return _or_default(policy, "admissions_per_second")

    @admin.display(description=_("the line opens"), ordering="opens_at")
    def shown_opening(self, policy: QueuePolicy) -> str:
        return moment(policy.opens_at)

    @admin.display(description="")
    def live_page(self, policy: QueuePolicy) -> SafeString:
        url = reverse("admin:events_event_live", args=[policy.event_id])
        return format_html('<a href="{}">{}</a>', url, gettext("live page"))

    @admin.display(description=_("last cleared"))
    def cleared(self, policy: QueuePolicy) -> str:
        return moment(policy.cleared_at)

    @admin.display(description=_("last changed"))
    def updated(self, policy: QueuePolicy) -> str:
        return moment(policy.updated_at if policy.pk else None)

    @admin.display(description=_("Commitment of the draw (SHA-256 of its seed)"))
    def commitment(self, policy: QueuePolicy) -> str:
        held = QueueDraw.objects.filter(event_id=policy.event_id).first()
        return draws.commitment(held.seed) if held else "-"

    def save_model(self, request: HttpRequest, obj: QueuePolicy, form: ModelForm, change: bool) -> None:  # noqa: ARG002, FBT001
        """Writes only what was changed: somebody may pause or clear meanwhile."""
        columns = {field.name for field in QueuePolicy._meta.concrete_fields} & set(form.changed_data)
        obj.save(update_fields=[*columns, "updated_at"] if change else None)
        services.policy_was_saved(event_id=obj.event_id)

    def delete_model(self, request: HttpRequest, obj: QueuePolicy) -> None:
        event_id = obj.event_id
        super().delete_model(request, obj)
        services.policy_was_saved(event_id=event_id)

    def has_delete_permission(self, request: HttpRequest, obj: QueuePolicy | None = None) -> bool:
        """Deleting is going back to the defaults; not while an opening is set, which its draw belongs to."""
        return super().has_delete_permission(request, obj) and obj is not None and obj.opens_at is None


def _or_default(policy: QueuePolicy, column: str) -> str:
    value = getattr(policy, column)
    if value is not None:
        return f"{value:,g}" if isinstance(value, float) else f"{value:,}"
    return gettext("%s (default)") % f"{getattr(settings, DEFAULTS[column]):,g}"
