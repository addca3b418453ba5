"""Reservations: to look at, with what happened to each. They change by operations, never by editing rows."""

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

from kernel.backoffice.actions import Act, ActingAdmin, ReasonForm, StaffMayLook, badge, moment
from reservations import services
from reservations.admin.timeline import timeline
from reservations.models import Reservation, ReservationItem

Status, Payment = Reservation.Status, Reservation.PaymentStatus
KINDS = {Status.PENDING: "warm", Status.CONFIRMED: "good", Status.CANCELLED: "bad", Status.EXPIRED: ""}
PAYMENT_KINDS = {Payment.PENDING: "", Payment.COMPLETED: "good", Payment.FAILED: "", Payment.REFUNDED: "info"}
MAX_AMOUNT = 2**31 - 1


# --- Acts -------------------------------------------------------------------------------------------------------------


class PaymentForm(ReasonForm):
    """What the payment provider says. The amount is typed, not filled in: it is compared with the reservation's."""

    payment_id = forms.CharField(label=_("payment id"), max_length=255)
    amount = forms.IntegerField(label=_("amount (won)"), min_value=0, max_value=MAX_AMOUNT)
    payment_method = forms.CharField(
        label=_("paid with"), max_length=50, help_text=_("As the provider calls it: card, kakao_pay …")
    )
    field_order = ("payment_id", "amount", "payment_method", "reason")


def _confirm(reservation: Reservation, *, payment_id: str, amount: int, payment_method: str) -> str:
    services.confirm_reservation(
        reservation_id=reservation.id, amount=amount, payment_method=payment_method, payment_id=payment_id
    )
    return gettext("paid, the places are sold.")


def _cancel(reservation: Reservation) -> str:
    services.cancel_reservation(user_id=reservation.user_id, reservation_id=reservation.id)
    return gettext("cancelled, the places are free again.")


def _refund(reservation: Reservation) -> str:
    services.refund_reservation(reservation_id=reservation.id)
    return gettext("refunded, the places are free.")


def _is_to_refund(reservation: Reservation) -> bool:
    return reservation.status == Status.CONFIRMED or reservation.refund_due_at is not None


def _about(reservation: Reservation) -> str:
    event = reservation.event.title if reservation.event else "-"
    return f"{event} · {reservation.total_amount:,} · {Status(reservation.status).label}"


# --- The pages --------------------------------------------------------------------------------------------------------


class RefundDueFilter(admin.SimpleListFilter):
    title = _("refund due")
    parameter_name = "refund"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [("due", _("due"))]

    def queryset(self, request: HttpRequest, found: QuerySet[Reservation]) -> QuerySet[Reservation]:  # noqa: ARG002
        return found.filter(refund_due_at__isnull=False) if self.value() == "due" else found


class ReservationItemInline(StaffMayLook, admin.TabularInline):
    model = ReservationItem
    extra = 0
    can_delete = False
    fields = readonly_fields = ("seat", "ticket_type", "quantity", "price", "amount")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReservationItem]:
        found: QuerySet[ReservationItem] = super().get_queryset(request).select_related("seat", "ticket_type")
        return found

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
class ReservationAdmin(ActingAdmin):
    list_display = ("reservation_number", "shown_event", "user", "shown_status", "shown_payment", "amount", "created")
    list_filter = ("status", "payment_status", RefundDueFilter, "created_at")
    list_select_related = ("event",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("reservation_number",)
    search_help_text = _("Reservation number or its beginning, the id of a user, a payment or a reservation")
    ordering = ("-created_at", "id")
    fieldsets = (
        (None, {"fields": (("reservation_number", "shown_event"), ("user_id", "created"))}),
        (_("State"), {"fields": (("shown_status", "deadline_moment"), ("shown_payment", "amount"))}),
        (capfirst(_("payment")), {"fields": (("payment_method", "payment_id"), "refund_due")}),
    )
    inlines = (ReservationItemInline,)
    acts = (
        Act(
            name="confirm",
            label=_("confirm the payment"),
            question=_("The provider has the money, but this service was not told. The places become sold."),
            run=_confirm,
            may=lambda reservation: reservation.status == Status.PENDING,
            about=_about,
            form=PaymentForm,
        ),
        Act(
            name="refund",
            label=_("record the refund"),
            question=_("The money has been given back. The places become free, if they are not yet."),
            run=_refund,
            may=_is_to_refund,
            about=_about,
            for_many=True,
        ),
        Act(
            name="cancel",
            label=_("cancel the reservation"),
            question=_("As if the buyer had given it back: the places become free. If it was paid, see to the refund."),
            run=_cancel,
            may=lambda reservation: reservation.status in (Status.PENDING, Status.CONFIRMED),
            about=_about,
            for_many=True,
            is_danger=True,
        ),
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Reservation],
        search_term: str,
    ) -> tuple[QuerySet[Reservation], bool]:
        """By what has an index: among millions a search for any part of a number would take seconds."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(reservation_number__startswith=term.upper()) | Q(payment_id=term)
        with suppress(ValueError):
            found |= Q(user_id=UUID(term)) | Q(id=UUID(term))
        return queryset.filter(found), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        found = self.get_object(request, object_id)
        steps = {"timeline": timeline(found)} if found is not None else {}
        return super().change_view(request, object_id, form_url, {**steps, **(extra_context or {})})

    @admin.display(description=_("event"))
    def shown_event(self, reservation: Reservation) -> SafeString | str:
        if reservation.event is None:
            return "-"
        url = reverse("admin:events_event_change", args=[reservation.event_id])
        return format_html('<a href="{}">{}</a>', url, reservation.event.title)

    @admin.display(description=_("user"), ordering="user_id")
    def user(self, reservation: Reservation) -> SafeString:
        return format_html('<span title="{}">{}…</span>', reservation.user_id, str(reservation.user_id)[:8])

    @admin.display(description=_("status"), ordering="status")
    def shown_status(self, reservation: Reservation) -> SafeString:
        return badge(Status(reservation.status).label, KINDS[Status(reservation.status)])

    @admin.display(description=_("payment"), ordering="payment_status")
    def shown_payment(self, reservation: Reservation) -> SafeString:
        if reservation.refund_due_at is not None:
            return badge(_("refund due"), "bad")
        status = Payment(reservation.payment_status)
        return badge(status.label, PAYMENT_KINDS[status])

    @admin.display(description=_("amount (won)"), ordering="total_amount")
    def amount(self, reservation: Reservation) -> str:
        return f"{reservation.total_amount:,}"

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, reservation: Reservation) -> str:
        return moment(reservation.created_at)

    @admin.display(description=_("held until"))
    def deadline_moment(self, reservation: Any) -> str:
        return moment(reservation.deadline)

    @admin.display(description=_("refund due since"))
    def refund_due(self, reservation: Reservation) -> str:
        return moment(reservation.refund_due_at)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:  # noqa: ARG002
        return False
