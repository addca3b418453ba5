"""Refunds: what is owed to buyers and what was given back, with sums. The payment service carries them out."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kernel.backoffice.actions import ObjectAction, ObjectActionAdmin
from kernel.backoffice.display import badge, format_time
from reservations import services
from reservations.models import Refund


def _settle(refund: Refund) -> str:
    services.settle_refund(refund_id=refund.id)
    return gettext("refund done.")


def _describe(refund: Refund) -> str:
    amount = gettext("₩%s") % f"{refund.amount:,}"
    return f"{refund.reservation.reservation_number} · {amount} · {Refund.Reason(refund.reason).label}"


class DoneFilter(admin.SimpleListFilter):
    title = _("refund")
    parameter_name = "refund"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [("due", _("Refund due")), ("done", _("Refunded"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:  # noqa: ARG002
        match self.value():
            case "due":
                return queryset.filter(done_at__isnull=True)
            case "done":
                return queryset.filter(done_at__isnull=False)
        return queryset


@admin.register(Refund)
class RefundAdmin(ObjectActionAdmin):
    list_display = ("reservation_link", "won", "reason_label", "state", "due", "payment_id")
    list_filter = (DoneFilter, "reason", "due_at")
    list_select_related = ("reservation", "reservation__event")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("payment_id",)
    search_help_text = _("Reservation number or payment ID")
    date_hierarchy = "due_at"
    ordering = ("-due_at", "id")
    readonly_fields = (
        "id",
        "reservation_link",
        "event",
        "won",
        "reason_label",
        "state",
        "due",
        "done",
        "cancelled_items",
    )
    fieldsets = ((None, {"fields": (*readonly_fields, "payment_id")}),)
    object_actions = (
        ObjectAction(
            name="settle",
            label=_("Record refund"),
            question=_(
                "Records that this money has been given back. The payment service no longer finds it among what is due."
            ),
            run=_settle,
            is_available=lambda refund: refund.done_at is None,
            is_idempotent=True,
            describe=_describe,
            in_changelist=True,
        ),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the sums of all that the filters and the search leave, on whatever page."""
        response = super().changelist_view(request, extra_context)
        found = getattr(response, "context_data", None) or {}
        if "cl" in found:
            is_due = Q(done_at__isnull=True)
            found["sums"] = (
                found["cl"]
                .queryset.order_by()
                .aggregate(
                    due=Sum("amount", filter=is_due, default=0),
                    due_count=Count("id", filter=is_due),
                    done=Sum("amount", filter=~is_due, default=0),
                    done_count=Count("id", filter=~is_due),
                )
            )
        return response

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Refund],
        search_term: str,
    ) -> tuple[QuerySet[Refund], bool]:
        """The term as a whole: the id of a payment may have spaces."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(payment_id=term) | Q(reservation__reservation_number=term.upper())), False

    @admin.display(description=_("reservation"), ordering="reservation__reservation_number")
    def reservation_link(self, refund: Refund) -> SafeString:
        url = reverse("admin:reservations_reservation_change", args=[refund.reservation_id])
        return format_html('<a href="{}">{}</a>', url, refund.reservation.reservation_number)

    @admin.display(description=_("event"))
    def event(self, refund: Refund) -> str:
        return refund.reservation.event.title if refund.reservation.event else "-"

    @admin.display(description=_("amount (won)"), ordering="amount")
    def won(self, refund: Refund) -> str:
        return f"{refund.amount:,}"

    @admin.display(description=_("reason"), ordering="reason")
    def reason_label(self, refund: Refund) -> str:
        return str(Refund.Reason(refund.reason).label)

    @admin.display(description=_("refund"), ordering="done_at")
    def state(self, refund: Refund) -> SafeString:
        return badge(_("Refund due"), "danger") if refund.done_at is None else badge(_("Refunded"), "success")

    @admin.display(description=_("due since"), ordering="due_at")
    def due(self, refund: Refund) -> str:
        return format_time(refund.due_at)

    @admin.display(description=_("refunded"))
    def done(self, refund: Refund) -> str:
        return format_time(refund.done_at)

    @admin.display(description=_("cancelled part"))
    def cancelled_items(self, refund: Refund) -> str:
        items: list[dict[str, Any]] = refund.items or []
        return (
            ", ".join(f"{item.get('seatLabel') or item.get('ticketTypeId')} x {item['quantity']}" for item in items)
            or "-"
        )

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Refund | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Refund | None = None) -> bool:  # noqa: ARG002
        return False
