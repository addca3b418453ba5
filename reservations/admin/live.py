"""An event's live page: the seat map, sales and the queue as they change, with the waiting room's actions.

The browser receives seats and stock over `/ws/seats/<eventId>`, and polls this module for the queue and for sales.
"""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from events.errors import EventNotFound
from events.models import Event
from events.services.layouts import sections_of
from events.services.seat_plan import plan_of
from kernel.backoffice.display import badge, capitalize
from kernel.errors import DomainError
from kernel.http.addresses import realtime_url
from kernel.http.middleware import content_security_policy
from queueing import services as queueing
from queueing.errors import WaitingRoomUnavailable
from queueing.selectors import policy_of
from reservations.statistics import StateCounts, count_by_state, sales_over_time, sections_with_seats
from tickets.models import TicketType

STATUS_BADGES = {
    Event.Status.UPCOMING: "info",
    Event.Status.ON_SALE: "success",
    Event.Status.SOLD_OUT: "warning",
    Event.Status.ENDED: "",
    Event.Status.CANCELLED: "danger",
}
QUEUE_ACTIONS = ("pause", "resume", "clear", "limits")
MAX_LOG_ENTRIES = 6


def get_urls(event_admin: ModelAdmin) -> list[URLPattern]:
    """`live/`, and the endpoints that its script polls."""

    def admin_view(view: Any) -> Any:
        def permitted_view(request: HttpRequest, event_id: UUID) -> HttpResponse:
            if not event_admin.has_view_permission(request):
                raise PermissionDenied
            response: HttpResponse = view(event_admin, request, event_id)
            return response

        return event_admin.admin_site.admin_view(permitted_view)

    return [
        path("<uuid:event_id>/live/", admin_view(live_page), name="events_event_live"),
        path("<uuid:event_id>/live/queue/", admin_view(queue), name="events_event_live_queue"),
        path("<uuid:event_id>/live/sales/", admin_view(sales), name="events_event_live_sales"),
    ]


def status_badge(event: Event) -> SafeString:
    status = Event.Status(event.status)
    return badge(status.label, STATUS_BADGES[status])


# --- The page ---------------------------------------------------------------------------------------------------------


def live_page(event_admin: ModelAdmin, request: HttpRequest, event_id: UUID) -> HttpResponse:
    event = Event.objects.select_related("seat_layout").filter(id=event_id).first()
    if event is None:
        raise Http404
    live_url = realtime_url(request)
    can_act = request.user.has_perm("queueing.change_queuepolicy")
    page_url = reverse("admin:events_event_live", args=[event_id])
    context = {
        **event_admin.admin_site.each_context(request),
        "title": event.title,
        "subtitle": None,
        "opts": event_admin.opts,
        "event": event,
        "status": status_badge(event),
        "policy": policy_of(event_id),
        "action_urls": {name: _action_url(name, event_id) for name in QUEUE_ACTIONS} if can_act else None,
        "page_url": page_url,
        "log_entries": _latest_log_entries(event_id),
        "page": {
            "event": str(event_id),
            "socket": f"{live_url}/ws/seats/{event_id}",
            "map": f"/api/seats/events/{event_id}",
            "queue": f"{page_url}queue/",
            "sales": f"{page_url}sales/",
            "plan": _seat_plan(event),
            "statuses": {status: (capitalize(status.label), STATUS_BADGES[status]) for status in Event.Status},
            "zone": settings.VENUE_TIME_ZONE,
            "texts": _script_texts(),
        },
    }
    response = TemplateResponse(request, "reservations/live.html", context)
    response.headers["Content-Security-Policy"] = content_security_policy(connect_to=live_url)
    return response


def _action_url(name: str, event_id: UUID) -> str:
    return reverse(f"admin:queueing_queuepolicy_{name}", args=[event_id])


def _latest_log_entries(event_id: UUID) -> list[LogEntry]:
    """Of the event and of its waiting room."""
    entries = LogEntry.objects.filter(
        object_id=str(event_id),
        content_type__app_label__in=("events", "queueing"),
        content_type__model__in=("event", "queuepolicy"),
    )
    return list(entries.select_related("user").order_by("-action_time")[:MAX_LOG_ENTRIES])


def _seat_plan(event: Event) -> dict[str, Any]:
    """Where the script draws seats: by section, the coordinates of the first seat of its first row."""
    try:
        order = [section.name for section in sections_of(event.seat_layout.layout_config)] if event.seat_layout else []
    except DomainError:
        order = []
    plan = plan_of(sections_with_seats(event.id, order=order))
    blocks = [
        {
            "name": block.section.name,
            "x": block.x,
            "y": block.y,
            "firstRow": block.section.start_row,
            "rows": block.section.rows,
            "seatsPerRow": block.section.seats_per_row,
        }
        for block in plan.blocks
    ]
    return {"width": plan.width, "height": plan.height, "middle": plan.middle, "blocks": blocks}


def _script_texts() -> dict[str, str]:
    return {
        "live": _("Live"),
        "polled": _("Every 5 seconds"),
        "connecting": _("Connecting…"),
        "lost": _("Disconnected"),
        "available": _("available"),
        "locked": _("locked"),
        "sold": _("sold"),
        "stage": _("STAGE"),
        "open": _("Open"),
        "off": _("Off"),
        "paused": _("Paused"),
        "closed": _("Closed"),
        "notOpen": _("Not open yet"),
        "notAdmitting": _("Not admitting"),
        "unavailable": _("Unavailable"),
        "nobodyWaits": _("Nobody is waiting"),
        "seconds": _("%s s"),
        "minutes": _("%s min"),
        "hours": _("%s h"),
        "measured": _("Measured"),
        "byTheLimits": _("Estimated from the limits"),
        "noSales": _("No reservations yet."),
        "totalSold": _("Total sold"),
        "reservedPerStep": _("Reserved"),
        "perMinute": _("%s per minute"),
        "won": _("₩%s"),
    }


# --- Endpoints of the script ------------------------------------------------------------------------------------------


def queue(_event_admin: ModelAdmin, _request: HttpRequest, event_id: UUID) -> JsonResponse:
    """The waiting room's numbers. One round trip to Redis."""
    try:
        state = queueing.get_queue_state(event_id=event_id)
    except EventNotFound as error:
        raise Http404 from error
    except WaitingRoomUnavailable:
        return JsonResponse({"state": "unavailable"})
    wait = queueing.estimate_for_newcomer(state)
    is_admitting = state.can_admit and not state.is_paused and not state.is_rebuilding
    shown_state = "notOpen" if state.is_before_opening else "paused" if state.is_paused else state.state
    return JsonResponse(
        {
            "state": shown_state,
            "waiting": state.size,
            "active": state.active,
            "threshold": state.threshold,
            "rate": state.rate,
            "admittedPerMinute": state.outflow * 60_000_000 / state.outflow_us if state.outflow_us else 0,
            "isAdmitting": is_admitting or state.size == 0,
            # Nobody knows when a pause ends, or whatever else keeps the queue from moving.
            "wait": wait.seconds if is_admitting else None,
            "waitIsMeasured": wait.is_measured,
        }
    )


def sales(_event_admin: ModelAdmin, _request: HttpRequest, event_id: UUID) -> JsonResponse:
    """Sales over time, counts by state, and stock. Three queries."""
    counts = count_by_state([event_id])[event_id]
    ticket_types = TicketType.objects.filter(event_id=event_id).order_by("-price", "name", "id")
    columns = ("id", "name", "available_quantity", "total_quantity")
    return JsonResponse(
        {
            "sales": sales_over_time(event_id),
            "seats": _counts_as_json(counts.seats),
            "tickets": _counts_as_json(counts.tickets),
            "stock": list(ticket_types.values(*columns)),
        }
    )


def _counts_as_json(counts: StateCounts) -> dict[str, int]:
    return {"available": counts.available, "locked": counts.locked, "sold": counts.sold}
