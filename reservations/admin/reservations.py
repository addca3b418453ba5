"""Reservations: read-only pages with a timeline. Changes are object actions, never edits of rows."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kernel.backoffice.actions import ObjectAction, ObjectActionAdmin
from kernel.backoffice.display import badge, format_time
from kernel.backoffice.forms import ReasonForm
from kernel.backoffice.permissions import StaffReadOnlyMixin
from reservations import services
from reservations.admin.timeline import build_timeline
from reservations.models import Reservation, ReservationItem

Status, PaymentStatus = Reservation.Status, Reservation.PaymentStatus
STATUS_BADGES = {
    Status.PENDING: "warning",
    Status.CONFIRMED: "success",
    Status.CANCELLED: "danger",
    Status.EXPIRED: "",
}
PAYMENT_BADGES = {
    PaymentStatus.PENDING: "",
    PaymentStatus.COMPLETED: "success",
    PaymentStatus.FAILED: "",
    PaymentStatus.REFUNDED: "info",
}
MAX_AMOUNT = 2**31 - 1


# --- Object actions ---------------------------------------------------------------------------------------------------


class PaymentForm(ReasonForm):
    """A payment as its provider reports it. The amount is typed, not prefilled, so that comparing it means something."""

    payment_id = forms.CharField(label=_("payment ID"), max_length=255)
    amount = forms.IntegerField(label=_("amount (won)"), min_value=0, max_value=MAX_AMOUNT)
    payment_method = forms.CharField(
        label=_("payment method"), max_length=50, help_text=_("The provider's name for it, such as card or kakao_pay.")
    )
    field_order = ("payment_id", "amount", "payment_method", "reason")


def _confirm(reservation: Reservation, *, payment_id: str, amount: int, payment_method: str) -> str:
    services.confirm_reservation(
        reservation_id=reservation.id,
        amount=amount,
        payment_method=payment_method,
        payment_id=payment_id,
        records_rejection=False,  # a mistyped amount is no answer to the payment service
    )
    return gettext("payment confirmed.")


def _cancel(reservation: Reservation) -> str:
    services.cancel_reservation(user_id=reservation.user_id, reservation_id=reservation.id, is_by_staff=True)
    return gettext("reservation cancelled.")


def _refund(reservation: Reservation) -> str:
    services.refund_reservation(reservation_id=reservation.id, is_by_staff=True)
    return gettext("refund recorded.")


def _can_refund(reservation: Reservation) -> bool:
    return reservation.status == Status.CONFIRMED or reservation.refund_due_at is not None


def _describe(reservation: Reservation) -> str:
    event = reservation.event.title if reservation.event else "-"
    amount = gettext("₩%s") % f"{reservation.total_amount:,}"
    return f"{event} · {amount} · {Status(reservation.status).label}"


# --- Pages ------------------------------------------------------------------------------------------------------------


class RefundDueFilter(admin.SimpleListFilter):
    title = _("refund")
    parameter_name = "refund"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [("due", _("Refund due"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> QuerySet[Reservation]:  # noqa: ARG002
        return queryset.filter(refund_due_at__isnull=False) if self.value() == "due" else queryset


class ReservationItemInline(StaffReadOnlyMixin, admin.TabularInline):
    model = ReservationItem
    extra = 0
    can_delete = False
    fields = readonly_fields = ("seat", "ticket_type", "quantity", "price", "amount")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReservationItem]:
        items: QuerySet[ReservationItem] = super().get_queryset(request).select_related("seat", "ticket_type")
        return items

    @admin.display(description=_("price (won)"))
    def price(self, item: ReservationItem) -> str:
        return f"{item.unit_price:,}"

    @admin.display(description=_("amount (won)"))
    def amount(self, item: ReservationItem) -> str:
        return f"{item.subtotal:,}"

    def has_add_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Reservation)
class ReservationAdmin(ObjectActionAdmin):
    list_display = (
        "reservation_number",
        "event_link",
        "user",
        "status_badge",
        "payment_badge",
        "amount",
        "created",
    )
    list_filter = ("status", "payment_status", RefundDueFilter, "created_at")
    list_select_related = ("event",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("reservation_number",)
    search_help_text = _("Reservation number or its beginning, user ID, payment ID, or reservation ID")
    ordering = ("-created_at", "id")
    fieldsets = (
        (None, {"fields": (("reservation_number", "event_link"), ("user_id", "created"))}),
        (capfirst(_("status")), {"fields": (("status_badge", "deadline_time"), ("payment_badge", "amount"))}),
        (capfirst(_("payment")), {"fields": (("payment_method", "payment_id"), "refund_due")}),
    )
    inlines = (ReservationItemInline,)
    object_actions = (
        ObjectAction(
            name="confirm",
            label=_("Confirm payment"),
            question=_(
                "Records a payment that the provider received but did not report to this service. "
                "The seats and tickets are then sold."
            ),
            run=_confirm,
            is_available=lambda reservation: reservation.status == Status.PENDING,
            describe=_describe,
            form=PaymentForm,
        ),
        ObjectAction(
            name="refund",
            label=_("Record refund"),
            question=_(
                "Records that the buyer has been refunded. Seats and tickets that are still sold become available again."
            ),
            run=_refund,
            is_available=_can_refund,
            describe=_describe,
            in_changelist=True,
        ),
        ObjectAction(
            name="cancel",
            label=_("Cancel reservation"),
            question=_(
                "Same as a cancellation by the buyer: the seats and tickets become available again. "
                "If the reservation is paid, a refund is then due, which the payment service carries out."
            ),
            run=_cancel,
            is_available=lambda reservation: reservation.status in (Status.PENDING, Status.CONFIRMED),
            describe=_describe,
            in_changelist=True,
            is_destructive=True,
        ),
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Reservation],
        search_term: str,
    ) -> tuple[QuerySet[Reservation], bool]:
        """Searches indexed columns only: among millions of rows a search for any part of a number takes seconds."""
        term = search_term.strip()
        if not term:
            return queryset, False
        condition = Q(reservation_number__startswith=term.upper()) | Q(payment_id=term)
        with suppress(ValueError):
            condition |= Q(user_id=UUID(term)) | Q(id=UUID(term))
        return queryset.filter(condition), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        reservation = self.get_object(request, object_id)
        context = {"timeline": build_timeline(reservation)} if reservation is not None else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @admin.display(description=_("event"))
    def event_link(self, reservation: Reservation) -> SafeString | str:
        if reservation.event is None:
            return "-"
        url = reverse("admin:events_event_change", args=[reservation.event_id])
        return format_html('<a href="{}">{}</a>', url, reservation.event.title)

    @admin.display(description=_("user"), ordering="user_id")
    def user(self, reservation: Reservation) -> SafeString:
        return format_html('<span title="{}">{}…</span>', reservation.user_id, str(reservation.user_id)[:8])

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, reservation: Reservation) -> SafeString:
        return badge(Status(reservation.status).label, STATUS_BADGES[Status(reservation.status)])

    @admin.display(description=_("payment"), ordering="payment_status")
    def payment_badge(self, reservation: Reservation) -> SafeString:
        if reservation.refund_due_at is not None:
            return badge(_("Refund due"), "danger")
        status = PaymentStatus(reservation.payment_status)
        return badge(status.label, PAYMENT_BADGES[status])

    @admin.display(description=_("amount (won)"), ordering="total_amount")
    def amount(self, reservation: Reservation) -> str:
        return f"{reservation.total_amount:,}"

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, reservation: Reservation) -> str:
        return format_time(reservation.created_at)

    @admin.display(description=_("payment deadline"))
    def deadline_time(self, reservation: Any) -> str:
        return format_time(reservation.deadline)

    @admin.display(description=_("refund due since"))
    def refund_due(self, reservation: Reservation) -> str:
        return format_time(reservation.refund_due_at)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False
