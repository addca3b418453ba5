"""The buyer's session: signing in and out, renewing the token; and what an account may confirm by itself."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from rest_framework.exceptions import MethodNotAllowed

from kernel.errors import DomainError
from kernel.http.auth import InvalidToken, NotAuthenticated, User, UserNotFound, verify_from
from kernel.http.permissions import client_of
from kernel.http.problems import error_response
from kernel.wire import timestamp
from reservations import selectors, services
from reservations.errors import NotFree
from shop import cookies, demo_buyers, origins, signing_in
from shop.gate import ForeignOrigin

View = Callable[..., HttpResponse]


def for_own_pages(method: str) -> Callable[[View], View]:
    """Allow one method, and only requests of this service's own pages. A domain error becomes a response as in the API."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, **arguments: Any) -> HttpResponse:
            if request.method != method:
                return error_response(request, MethodNotAllowed(str(request.method)))
            if not origins.is_from_own_page(request.META, writes=method != "GET"):
                return error_response(request, ForeignOrigin())
            try:
                return view(request, **arguments)
            except DomainError as error:
                return error_response(request, error)

        return checked

    return decorate


def buyer_of(request: HttpRequest) -> tuple[User, float]:
    """Return the user of the cookie, and until when the token is good. Raises NotAuthenticated and what `verify` raises."""
    header = request.META.get("HTTP_COOKIE", "")
    token, expires_at = cookies.token_in(header, buyer=request.META.get("HTTP_SHOP_BUYER", ""))
    if not token:
        raise NotAuthenticated
    return verify_from(token, partial(client_of, request)), expires_at


@for_own_pages("GET")
def session(request: HttpRequest) -> HttpResponse:
    """Return the user that is signed in, until when, and whether the token can be renewed."""
    try:
        user, expires_at = buyer_of(request)
    except (NotAuthenticated, InvalidToken, UserNotFound):
        return JsonResponse({"user": None, "canRenew": _can_renew(request)})
    return JsonResponse(_described(user, expires_at, can_renew=_can_renew(request)))


def login(request: HttpRequest) -> HttpResponse:
    """Send the browser to the Auth Service. `then` is the path to come back to."""
    if not settings.SHOP_LOGIN_URL:
        return HttpResponseRedirect("/?sign-in=unavailable")
    begun = signing_in.begin(return_address=_return_address(request), then=request.GET.get("then", "/"))
    response = HttpResponseRedirect(begun.address)
    cookies.set_login(response, begun.kept, seconds=signing_in.LOGIN_SECONDS)
    return response


def callback(request: HttpRequest) -> HttpResponse:
    """The browser is back from the Auth Service, with a code."""
    kept = request.COOKIES.get(cookies.cookie_name(cookies.LOGIN), "")
    state, code = request.GET.get("state", ""), request.GET.get("code", "")
    try:
        tokens, then = signing_in.finish(kept=kept, state=state, code=code, return_address=_return_address(request))
        verify_from(tokens.access, partial(client_of, request))
        response: HttpResponse = HttpResponseRedirect(then)
        _set_cookies(response, tokens)
    except (DomainError, ValueError):
        response = HttpResponseRedirect("/?sign-in=failed")
    cookies.delete(response, cookies.LOGIN)
    return response


@for_own_pages("POST")
def renew(request: HttpRequest) -> HttpResponse:
    """A new token for one that ends soon. Without one that renews it, 401."""
    renewal = cookies.renewal_in(request.META.get("HTTP_COOKIE", ""))
    if not renewal:
        raise NotAuthenticated
    try:
        tokens = signing_in.renew(renewal)
    except signing_in.SignInFailed as error:
        response = error_response(request, error)
        cookies.delete(response, cookies.TOKEN, cookies.RENEWAL)
        return response
    user = verify_from(tokens.access, partial(client_of, request))
    response = JsonResponse(_described(user, tokens.expires_at, can_renew=True))
    _set_cookies(response, tokens)
    return response


@for_own_pages("POST")
def logout(request: HttpRequest) -> HttpResponse:
    """Forget the buyer here, and tell the Auth Service. It is done here also if that does not respond."""
    if renewal := cookies.renewal_in(request.META.get("HTTP_COOKIE", "")):
        with suppress(DomainError):
            signing_in.revoke(renewal)
    response = JsonResponse({"user": None, "canRenew": False})
    cookies.delete(response, cookies.TOKEN, cookies.RENEWAL)
    return response


@for_own_pages("POST")
def confirm_free(request: HttpRequest, reservation: UUID) -> HttpResponse:
    """Confirm a reservation that costs nothing: there is nothing that a payment service could do."""
    user, _ = buyer_of(request)
    mine = selectors.seat_reservation(user_id=UUID(user.user_id), reservation_id=reservation)
    if mine["total_amount"] != 0:
        raise NotFree
    services.confirm_reservation(
        reservation_id=reservation, amount=0, payment_method="free", payment_id=f"free:{reservation}"
    )
    return JsonResponse({"reservation": {"id": str(reservation), "status": "confirmed"}})


def _described(user: User, expires_at: float, *, can_renew: bool) -> dict[str, Any]:
    return {
        "user": {"id": user.user_id, "name": user.name, "email": user.email},
        "expiresAt": timestamp(datetime.fromtimestamp(expires_at, UTC)),
        "expiresInSeconds": max(0, int(expires_at - time.time())),  # the clock of a browser may be wrong
        "canRenew": can_renew,
    }


def _can_renew(request: HttpRequest) -> bool:
    return not demo_buyers.exist() and bool(cookies.renewal_in(request.META.get("HTTP_COOKIE", "")))


def _return_address(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("shop-callback"))


def _set_cookies(response: HttpResponse, tokens: signing_in.Tokens) -> None:
    cookies.set_token(response, tokens.access, expires_at=tokens.expires_at)
    if tokens.renewal:
        cookies.set_renewal(response, tokens.renewal)
