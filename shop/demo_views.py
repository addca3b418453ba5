"""With DEBUG only: another buyer for this tab, and a page that stands for a payment service."""

import json
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse

from kernel.errors import DomainError, InvalidInput
from kernel.http.problems import NotFound, error_response
from kernel.wire import parse_id
from reservations import services
from shop import cookies, demo_buyers, origins, views
from shop.session_views import for_own_pages

_page = views.page("demo-payment", title="demo_payment")


@for_own_pages("POST")
def choose_buyer(request: HttpRequest) -> HttpResponse:
    """A cookie for the demo buyer with the number in the body: {"buyer": 3}."""
    try:
        number = str(json.loads(request.body)["buyer"])
        token, expires_at = demo_buyers.issue_token(number)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("buyer must be a number from 1 to 99") from error
    response = JsonResponse({"buyer": number})
    cookies.set_token(response, token, expires_at=expires_at, name=demo_buyers.cookie(number))
    return response


def payment(request: HttpRequest) -> HttpResponse:
    """What a payment service does: a page for the buyer's card, and the calls of docs/payments.md behind it."""
    if not settings.DEBUG:
        return error_response(request, NotFound())
    return _page(request) if request.method == "GET" else _act(request)


@for_own_pages("POST")
def _act(request: HttpRequest) -> HttpResponse:
    reservation = parse_id(request.POST.get("reservation"), "Invalid reservation ID format")
    action = request.POST.get("action")
    if action == "begin":
        held = services.begin_payment(reservation_id=reservation)
        return JsonResponse({"amount": held.total_amount, "number": held.number})
    if action == "pay":
        with suppress(DomainError):  # a payment that comes too late is a refund; the reservation's page tells it
            services.confirm_reservation(
                reservation_id=reservation,
                amount=_amount(request),
                payment_method="card",
                payment_id=f"demo:{uuid.uuid4()}",
            )
    elif action == "fail":
        with suppress(DomainError):
            services.fail_payment(reservation_id=reservation)
    return HttpResponseRedirect(_own_address(request, reservation))


def _amount(request: HttpRequest) -> int:
    text = request.POST.get("amount", "")
    if not text.isdecimal() or len(text) > 10:
        raise InvalidInput("amount must be a whole number")
    return int(text)


def _own_address(request: HttpRequest, reservation: UUID) -> str:
    """Return the address to go back to, if it is of this origin; else the reservation's page."""
    wanted: Any = urlsplit(request.POST.get("return", ""))
    own = f"/shop/reservations/{reservation}"
    is_own = f"{wanted.scheme}://{wanted.netloc}" == origins.origin_of(request.META) and wanted.path == own
    return f"{wanted.path}?{wanted.query}" if is_own and wanted.query else own
