"""The waiting list: who waits for places of an event, and what was offered to whom."""

from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from kernel.backoffice.actions import ObjectActionAdmin
from kernel.backoffice.choosers import ChooserListFilter
from kernel.backoffice.display import badge, format_time
from reservations.models import Reservation, WaitlistEntry

Status = WaitlistEntry.Status
COLORS = {Status.WAITING: "warning", Status.OFFERED: "success", Status.LEFT: ""}


@admin.register(WaitlistEntry)
class WaitlistAdmin(ObjectActionAdmin):
    """In order. Buyers join and leave by themselves, and the sale makes the offers."""

    list_display = ("event_title", "wanted", "user_id", "state", "since", "reservation_link", "outcome")
    list_filter = ("status", ("event", ChooserListFilter))
    list_select_related = ("event", "ticket_type", "reservation")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("user_id",)
    search_help_text = _("User")
    ordering = ("event_id", "id")
    readonly_fields = ("event_title", "wanted", "user_id", "state", "since", "reservation_link", "outcome")
    fieldsets = ((None, {"fields": readonly_fields}),)

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[WaitlistEntry],
        search_term: str,
    ) -> tuple[QuerySet[WaitlistEntry], bool]:
        """The id as a whole, by its index."""
        if not (term := search_term.strip()):
            return queryset, False
        try:
            return queryset.filter(user_id=UUID(term)), False
        except ValueError:
            return queryset.none(), False

    @admin.display(description=_("event"), ordering="event__title")
    def event_title(self, entry: WaitlistEntry) -> SafeString:
        url = reverse("admin:events_event_change", args=[entry.event_id])
        return format_html('<a href="{}">{}</a>', url, entry.event.title)

    @admin.display(description=_("wanted"))
    def wanted(self, entry: WaitlistEntry) -> str:
        of = entry.section or (entry.ticket_type.name if entry.ticket_type else "")
        return f"{of} x {entry.quantity}" if of else f"x {entry.quantity}"

    @admin.display(description=_("status"), ordering="status")
    def state(self, entry: WaitlistEntry) -> SafeString:
        return badge(Status(entry.status).label, COLORS[Status(entry.status)])

    @admin.display(description=_("waiting since"), ordering="id")
    def since(self, entry: WaitlistEntry) -> str:
        return format_time(entry.created_at)

    @admin.display(description=_("reservation"))
    def reservation_link(self, entry: WaitlistEntry) -> SafeString | str:
        if entry.reservation is None:
            return "-"
        url = reverse("admin:reservations_reservation_change", args=[entry.reservation_id])
        return format_html('<a href="{}">{}</a>', url, entry.reservation.reservation_number)

    @admin.display(description=_("offer"))
    def outcome(self, entry: WaitlistEntry) -> str:
        """What has become of the offer; until when it can be taken."""
        if (offer := entry.reservation) is None:
            return "-"
        if offer.status == Reservation.Status.PENDING and offer.deadline and offer.deadline > timezone.now():
            return str(_("until %s") % format_time(offer.deadline))
        is_over = offer.status == Reservation.Status.PENDING
        return str(Reservation.Status(Reservation.Status.EXPIRED if is_over else offer.status).label)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: WaitlistEntry | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: WaitlistEntry | None = None) -> bool:  # noqa: ARG002
        return False
