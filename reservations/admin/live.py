"""An event's live page: the seat map, what is sold, and the line, as they change; with the waiting room's buttons.

The browser hears of seats and stock over `/ws/seats/<eventId>`, and asks here for the line and for what is sold.
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
from kernel.backoffice.actions import badge, capital
from kernel.errors import DomainError
from kernel.http.middleware import content_policy
from queueing import services as queueing
from queueing.errors import WaitingRoomUnavailable
from queueing.selectors import policy_of
from reservations.statistics import counts_by_event, sales_over_time, sections_with_seats
from tickets.models import TicketType

KINDS = {
    Event.Status.UPCOMING: "info",
    Event.Status.ON_SALE: "good",
    Event.Status.SOLD_OUT: "warm",
    Event.Status.ENDED: "",
    Event.Status.CANCELLED: "bad",
}
LATEST_ACTS = 6


def urls(events: ModelAdmin) -> list[URLPattern]:
    """`live/`, and what its script asks for."""

    def admin_view(view: Any) -> Any:
        def seen_by_staff(request: HttpRequest, event_id: UUID) -> HttpResponse:
            if not events.has_view_permission(request):
                raise PermissionDenied
            response: HttpResponse = view(events, request, event_id)
            return response

        return events.admin_site.admin_view(seen_by_staff)

    return [
        path("<uuid:event_id>/live/", admin_view(live_page), name="events_event_live"),
        path("<uuid:event_id>/live/line/", admin_view(line), name="events_event_live_line"),
        path("<uuid:event_id>/live/sales/", admin_view(sales), name="events_event_live_sales"),
    ]


def status_badge(event: Event) -> SafeString:
    status = Event.Status(event.status)
    return badge(status.label, KINDS[status])


# --- The page ---------------------------------------------------------------------------------------------------------


def live_page(events: ModelAdmin, request: HttpRequest, event_id: UUID) -> HttpResponse:
    event = Event.objects.select_related("seat_layout").filter(id=event_id).first()
    if event is None:
        raise Http404
    realtime = realtime_url(request)
    may_act = request.user.has_perm("queueing.change_queuepolicy")
    here = reverse("admin:events_event_live", args=[event_id])
    context = {
        **events.admin_site.each_context(request),
        "title": event.title,
        "subtitle": None,
        "opts": events.opts,
        "event": event,
        "status": status_badge(event),
        "policy": policy_of(event_id),
        "acts": {act: _act_url(act, event_id) for act in ("pause", "resume", "clear", "limits")} if may_act else None,
        "here": here,
        "latest": _latest_acts(event_id),
        "page": {
            "event": str(event_id),
            "socket": f"{realtime}/ws/seats/{event_id}",
            "map": f"/api/seats/events/{event_id}",
            "line": f"{here}line/",
            "sales": f"{here}sales/",
            "plan": _plan(event),
            "statuses": {status: (capital(status.label), KINDS[status]) for status in Event.Status},
            "zone": settings.VENUE_TIME_ZONE,
            "texts": _texts(),
        },
    }
    response = TemplateResponse(request, "reservations/live.html", context)
    response.headers["Content-Security-Policy"] = content_policy(connect_to=realtime)
    return response


def realtime_url(request: HttpRequest) -> str:
    """Where the sockets are, as the browser that asks reaches them."""
    where = settings.REALTIME_URL
    if not where or where.startswith(":"):
        host = request.get_host().rpartition(":")[0] or request.get_host() if where else request.get_host()
        return f"{'wss' if request.is_secure() else 'ws'}://{host}{where}"
    return f"ws{where[4:]}" if where.startswith("http") else where


def _act_url(act: str, event_id: UUID) -> str:
    return reverse(f"admin:queueing_queuepolicy_{act}", args=[event_id])


def _latest_acts(event_id: UUID) -> list[LogEntry]:
    """What staff did to the event and to its waiting room."""
    about = LogEntry.objects.filter(
        object_id=str(event_id),
        content_type__app_label__in=("events", "queueing"),
        content_type__model__in=("event", "queuepolicy"),
    )
    return list(about.select_related("user").order_by("-action_time")[:LATEST_ACTS])


def _plan(event: Event) -> dict[str, Any]:
    """Where the script puts seats: by section, the place of the first seat of its first row."""
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


def _texts() -> dict[str, str]:
    """What the script says."""
    return {
        "live": _("live"),
        "polled": _("every 5 seconds"),
        "connecting": _("connecting …"),
        "lost": _("no connection"),
        "free": _("free"),
        "held": _("held"),
        "sold": _("sold"),
        "stage": _("STAGE"),
        "open": _("open"),
        "off": _("off"),
        "paused": _("paused"),
        "closed": _("closed"),
        "notOpen": _("not open yet"),
        "notAdmitting": _("nobody is let in just now"),
        "unavailable": _("not available"),
        "nobodyWaits": _("nobody waits"),
        "seconds": _("%s s"),
        "minutes": _("%s min"),
        "hours": _("%s h"),
        "measured": _("as measured"),
        "byTheLimits": _("as the limits allow"),
        "noSales": _("Nothing has been reserved yet."),
        "soldInAll": _("sold in all"),
        "reservedPerStep": _("reserved"),
        "perMinute": _("%s a minute"),
        "won": _("₩%s"),
    }


# --- What the page asks for -------------------------------------------------------------------------------------------


def line(_events: ModelAdmin, _request: HttpRequest, event_id: UUID) -> JsonResponse:
    """The waiting room, in one round trip to Redis."""
    try:
        found = queueing.get_queue_state(event_id=event_id)
    except EventNotFound as error:
        raise Http404 from error
    except WaitingRoomUnavailable:
        return JsonResponse({"state": "unavailable"})
    wait = queueing.estimate_for_newcomer(found)
    is_admitting = found.can_admit and not found.is_paused and not found.is_rebuilding
    return JsonResponse(
        {
            "state": "notOpen" if found.is_before_opening else "paused" if found.is_paused else found.state,
            "line": found.size,
            "inside": found.active,
            "threshold": found.threshold,
            "rate": found.rate,
            "outflow": found.outflow * 60_000_000 / found.outflow_us if found.outflow_us else 0,
            "isAdmitting": is_admitting or found.size == 0,
            "wait": wait.seconds,
            "waitIsMeasured": wait.is_measured,
        }
    )


def sales(_events: ModelAdmin, _request: HttpRequest, event_id: UUID) -> JsonResponse:
    """What was sold when, and what is left."""
    places = counts_by_event([event_id])[event_id]
    tickets = TicketType.objects.filter(event_id=event_id).order_by("-price", "name", "id")
    columns = ("id", "name", "available_quantity", "total_quantity")
    return JsonResponse(
        {
            "sales": sales_over_time(event_id),
            "seats": {"free": places.seats.available, "held": places.seats.locked, "sold": places.seats.sold},
            "tickets": {"free": places.tickets.available, "held": places.tickets.locked, "sold": places.tickets.sold},
            "stock": list(tickets.values(*columns)),
        }
    )
