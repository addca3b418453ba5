"""Every path, with and without the prefix /api."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django.views.i18n import set_language
from rest_framework.routers import SimpleRouter

from events.views import EventViewSet
from kernel.backoffice.pages import forbidden
from kernel.http.problems import bad_request, not_found, server_error
from outbox.views import FeedViewSet
from queueing.views import QueueAdminViewSet, QueueChallengeViewSet, QueueViewSet
from reservations.views import (
    EntryCodeViewSet,
    EntryKeyViewSet,
    InternalEventViewSet,
    InternalRefundViewSet,
    InternalReservationViewSet,
    ReservationViewSet,
    SaleViewSet,
    SeatReservationViewSet,
    WaitlistViewSet,
)
from seats.views import EventStatusViewSet, SeatMapViewSet
from shop.views import front_page
from tickets.views import TicketViewSet
from ticketservice import api_docs
from ticketservice.realtime_urls import probes


def demo_crowd_page() -> Callable[..., HttpResponse]:
    """Return the view of /admin/demo-crowd/. Imported here: production has neither the page nor what it needs."""
    from shop import demo_crowd

    return admin.site.admin_view(demo_crowd.page)


router = SimpleRouter()
router.trailing_slash = "/?"
router.register("events", EventViewSet, basename="event")
router.register("events", SaleViewSet, basename="sale")
router.register("tickets", TicketViewSet, basename="ticket")
router.register("seats", SeatMapViewSet, basename="seat-map")
router.register("seats", SeatReservationViewSet, basename="seat")
router.register("queue/admin", QueueAdminViewSet, basename="queue-admin")
router.register("queue", QueueViewSet, basename="queue")
router.register("queue", QueueChallengeViewSet, basename="queue-challenge")
router.register("waitlist", WaitlistViewSet, basename="waitlist")
router.register("reservations", EntryKeyViewSet, basename="entry-key")
router.register("reservations", EntryCodeViewSet, basename="entry-code")
router.register("reservations", ReservationViewSet, basename="reservation")
router.register("internal/events", FeedViewSet, basename="feed")
router.register("internal/events", InternalEventViewSet, basename="internal-event")
router.register("internal/event-status", EventStatusViewSet, basename="event-status")
router.register("internal/reservations", InternalReservationViewSet, basename="internal-reservation")
router.register("internal/refunds", InternalRefundViewSet, basename="internal-refund")

service = [*router.urls, *probes]

admin.autodiscover()
urlpatterns = [
    *service,
    path("", front_page(api_docs.Root.as_view()) if settings.SHOP_ENABLED else api_docs.Root.as_view()),
    path("api/", include(service)),
    path("admin/language/", set_language, name="set_language"),
    re_path(r"^api/schema/?$", api_docs.Document.as_view(), name="api-document"),
    re_path(r"^api/asyncapi/?$", api_docs.AsyncDocument.as_view()),
    re_path(r"^api-docs/?$", api_docs.DocsPage.as_view()),
    *([path("admin/demo-crowd/", demo_crowd_page())] if settings.DEBUG and settings.SHOP_ENABLED else []),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    *([path("dev/", include("devtools.urls"))] if settings.DEBUG else []),
    *([path("shop/", include("shop.urls"))] if settings.SHOP_ENABLED else []),
    re_path("", not_found),  # a JSON 404, also with DEBUG
]

handler400 = bad_request
handler403 = forbidden
handler404 = not_found
handler500 = server_error
