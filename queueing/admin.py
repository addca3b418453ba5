"""The waiting room of an event: its policy and its object actions."""

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
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from events.models import Event
from kernel.backoffice.actions import ObjectAction, ObjectActionAdmin
from kernel.backoffice.display import badge, error_message, format_time
from kernel.backoffice.forms import ReasonForm, ReasonMixin, limit_numbers
from kernel.errors import Unavailable
from queueing import draws, services
from queueing.errors import QueueAlreadyOpen
from queueing.models import LIMITS, QueueDraw, QueuePolicy
from queueing.selectors import DEFAULTS, policy_of

# --- Object actions ---------------------------------------------------------------------------------------------------


class LimitsForm(ReasonForm):
    """Empty fields leave their limit unchanged."""

    threshold = forms.IntegerField(label=_("maximum active users"), required=False)
    admissions_per_second = forms.FloatField(label=_("admissions per second"), required=False)
    field_order = ("threshold", "admissions_per_second", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit_numbers(self, LIMITS)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and cleaned["threshold"] is None and cleaned["admissions_per_second"] is None:
            raise forms.ValidationError(_("Enter at least one limit."))
        return cleaned


def _pause(policy: QueuePolicy) -> str:
    services.change_policy(event_id=policy.event_id, changes={"is_paused": True})
    return gettext("admission paused.")


def _resume(policy: QueuePolicy) -> str:
    services.change_policy(event_id=policy.event_id, changes={"is_paused": False})
    return gettext("admission resumed.")


def _clear(policy: QueuePolicy) -> str:
    waiting, active = services.clear_queue(event_id=policy.event_id)
    return gettext("queue cleared, %(waiting)s waiting and %(active)s active users removed.") % {
        "waiting": f"{waiting:,}", "active": f"{active:,}",
    }  # fmt: skip


def _limits_of(policy: QueuePolicy) -> dict[str, float]:
    counts = policy_of(policy.event_id)
    return {name: getattr(counts, name) for name in ("threshold", "admissions_per_second")}


def _change_limits(policy: QueuePolicy, **limits: float | None) -> str:
    changes = {column: value for column, value in limits.items() if value is not None}
    counts = services.change_policy(event_id=policy.event_id, changes=changes)
    return gettext("limits changed to %(threshold)s active users and %(rate)s admissions per second.") % {
        "threshold": f"{counts.threshold:,}", "rate": f"{counts.admissions_per_second:,g}",
    }  # fmt: skip


def _describe_queue(policy: QueuePolicy) -> str:
    try:
        queue = services.get_queue_state(event_id=policy.event_id)
    except Unavailable as error:
        return error_message(error)
    return gettext("%(waiting)s waiting, %(active)s active") % {
        "waiting": f"{queue.size:,}", "active": f"{queue.active:,}",
    }  # fmt: skip


# --- Pages ------------------------------------------------------------------------------------------------------------


class QueuePolicyForm(ReasonMixin):
    class Meta:
        help_texts = {
            "threshold": _("0 admits nobody."),
            "opens_at": _(
                "Visitors who arrive before this time are ordered by a draw. Leave empty for first come, first served."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Shows the default that applies where a field is left empty."""
        super().__init__(*args, **kwargs)
        limit_numbers(self, LIMITS)
        for column, name in DEFAULTS.items():
            if column == "is_on" and column in self.fields:
                default = _("Default (on)") if getattr(settings, name) else _("Default (off)")
                self.fields[column].widget.choices = [("unknown", default), ("true", _("On")), ("false", _("Off"))]
            elif column in self.fields:
                default = _("Leave empty to use the default (%s).") % getattr(settings, name)
                self.fields[column].help_text = f"{self.fields[column].help_text} {default}".strip()

    def clean_opens_at(self) -> Any:
        opens_at = self.cleaned_data["opens_at"]
        if self.instance.pk is not None:
            before = QueuePolicy.objects.filter(pk=self.instance.pk).values_list("opens_at", flat=True).first()
            try:
                services.refuse_late_opening(event_id=self.instance.pk, before=before, after=opens_at)
            except QueueAlreadyOpen as error:
                self.add_error("opens_at", error_message(error))
        return opens_at


@admin.register(QueuePolicy)
class QueuePolicyAdmin(ObjectActionAdmin):
    """Empty fields use the defaults of the settings. Changes take effect within a second."""

    form = QueuePolicyForm
    list_display = ("event", "state", "threshold_or_default", "rate_or_default", "opening", "live_page")
    list_select_related = ("event",)
    list_filter = ("is_paused", "is_on")
    search_fields = ("event__title",)
    autocomplete_fields = ("event",)
    readonly_fields = ("commitment", "cleared", "updated")
    fieldsets = (
        (None, {"fields": ("event", ("is_on", "is_paused"), "opens_at")}),
        (_("Admission"), {"fields": (("threshold", "admissions_per_second"), "burst")}),
        (
            _("Timeouts"),
            {"fields": (("admission_seconds", "active_idle_seconds"), ("idle_seconds", "grace_seconds"))},
        ),
        (capfirst(_("status")), {"fields": ("commitment", ("cleared", "updated"), "reason")}),
    )
    object_actions = (
        ObjectAction(
            name="limits",
            label=_("Change limits"),
            question=_("Takes effect within a second. Users who are already active stay active."),
            run=_change_limits,
            describe=_describe_queue,
            form=LimitsForm,
            before=_limits_of,
        ),
        ObjectAction(
            name="pause",
            label=_("Pause admission"),
            question=_(
                "Nobody is admitted until admission is resumed. Active users can continue to buy, and the queue keeps its "
                "order."
            ),
            run=_pause,
            is_idempotent=True,
            is_available=lambda policy: not policy.is_paused,
            describe=_describe_queue,
        ),
        ObjectAction(
            name="resume",
            label=_("Resume admission"),
            question=_("Admission continues in the order of the queue."),
            run=_resume,
            is_idempotent=True,
            is_available=lambda policy: policy.is_paused,
            describe=_describe_queue,
        ),
        ObjectAction(
            name="clear",
            label=_("Clear queue"),
            question=_(
                "Removes everyone from the queue and ends every admission. Visitors who return join the end of the queue. "
                "This cannot be undone."
            ),
            run=_clear,
            describe=_describe_queue,
            is_destructive=True,
        ),
    )

    def get_action_object(self, request: HttpRequest, object_id: str) -> QueuePolicy | None:
        """An event without a policy row has a waiting room, too: an unsaved policy of defaults."""
        policy: QueuePolicy | None = super().get_action_object(request, object_id)
        if policy is not None:
            return policy
        try:
            event = Event.objects.filter(id=UUID(object_id)).first()
        except ValueError:
            return None
        return QueuePolicy(event=event) if event else None

    def get_object_links(self, request: HttpRequest, obj: QueuePolicy) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(gettext("Live page"), reverse("admin:events_event_live", args=[obj.event_id]))]

    def get_readonly_fields(self, request: HttpRequest, obj: QueuePolicy | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return (*self.readonly_fields, "event") if obj is not None else self.readonly_fields

    @admin.display(description=_("status"))
    def state(self, policy: QueuePolicy) -> SafeString:
        if policy.is_on is False:
            return badge(_("Off"), "")
        return badge(_("Paused"), "warning") if policy.is_paused else badge(_("On"), "success")

    @admin.display(description=_("maximum active users"), ordering="threshold")
    def threshold_or_default(self, policy: QueuePolicy) -> str:
        return _or_default(policy, "threshold")

    @admin.display(description=_("admissions per second"), ordering="admissions_per_second")
    def rate_or_default(self, policy: QueuePolicy) -> str:
        return _or_default(policy, "admissions_per_second")

    @admin.display(description=_("opens at"), ordering="opens_at")
    def opening(self, policy: QueuePolicy) -> str:
        return format_time(policy.opens_at)

    @admin.display(description="")
    def live_page(self, policy: QueuePolicy) -> SafeString:
        url = reverse("admin:events_event_live", args=[policy.event_id])
        return format_html('<a href="{}">{}</a>', url, gettext("Live page"))

    @admin.display(description=_("last cleared"))
    def cleared(self, policy: QueuePolicy) -> str:
        return format_time(policy.cleared_at)

    @admin.display(description=_("last changed"))
    def updated(self, policy: QueuePolicy) -> str:
        return format_time(policy.updated_at if policy.pk else None)

    @admin.display(description=_("draw commitment (SHA-256 of the seed)"))
    def commitment(self, policy: QueuePolicy) -> str:
        draw = QueueDraw.objects.filter(event_id=policy.event_id).first()
        return draws.commitment(draw.seed) if draw else "-"

    def save_model(self, request: HttpRequest, obj: QueuePolicy, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        services.policy_was_saved(event_id=obj.event_id)

    def delete_model(self, request: HttpRequest, obj: QueuePolicy) -> None:
        event_id = obj.event_id
        super().delete_model(request, obj)
        services.policy_was_saved(event_id=event_id)

    def has_delete_permission(self, request: HttpRequest, obj: QueuePolicy | None = None) -> bool:
        """Deleting returns to the defaults. Not while an opening is set, since its draw belongs to it."""
        return super().has_delete_permission(request, obj) and obj is not None and obj.opens_at is None


def _or_default(policy: QueuePolicy, column: str) -> str:
    value = getattr(policy, column)
    if value is not None:
        return f"{value:,g}" if isinstance(value, float) else f"{value:,}"
    return gettext("%s (default)") % f"{getattr(settings, DEFAULTS[column]):,g}"
