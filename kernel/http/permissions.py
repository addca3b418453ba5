"""Authentication and permission classes for DRF views."""

import hmac
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from kernel.http.addresses import address_of, network_of
from kernel.http.auth import (
    BAD_TOKENS,
    AdministratorsOnly,
    AuthServiceUnavailable,
    InternalOnly,
    InvalidToken,
    NotAuthenticated,
    ScopeMissing,
    User,
    UserNotFound,
    verify_from,
)
from kernel.http.urls import fast_path_policy
from kernel.redis.rate_limits import Charge, RateLimit


def user_of(request: Request) -> User:
    """Return the authenticated user. Only for views with IsAuthenticated."""
    return cast("User", request.user)


def bearer_token(request: Request) -> str:
    """Return the token of `Authorization: Bearer <token>`, or an empty string."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(token.strip()) if scheme.lower() == "bearer" else ""


def client_of(request: HttpRequest) -> str:
    """Return what limits by address count as one client."""
    return network_of(address_of(request.META))


def charge(request: Request, *, of_user: RateLimit, of_address: RateLimit) -> Charge:
    """Return what a public request counts as: one of the user if it has a valid token, else one of the address.

    Raises RateLimited.
    """
    client = client_of(request)
    if token := bearer_token(request):
        with suppress(InvalidToken, UserNotFound, AuthServiceUnavailable):
            return Charge(of_user, verify_from(token, lambda: client).user_id)
    return Charge(of_address, client)


@fast_path_policy
class BearerToken(BaseAuthentication):
    """`Authorization: Bearer <token>`. Without the header `request.user` is None."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        token = bearer_token(request)
        return (verify_from(token, partial(client_of, request)), None) if token else None


@fast_path_policy
class IsAuthenticated(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - DRF's signature
        if request.user is None:
            raise NotAuthenticated
        return True


@fast_path_policy
class IsAdministrator(IsAuthenticated):
    def has_permission(self, request: Request, view: APIView) -> bool:
        super().has_permission(request, view)
        if not user_of(request).is_administrator:
            raise AdministratorsOnly
        return True


# --- Other services -----------------------------------------------------------------------------------------------------


class Scope(StrEnum):
    """What a token of SERVICE_TOKENS may be allowed to do."""

    CONFIRM = "confirm"  # begin, fail and confirm payments
    REFUND = "refund"  # read what is due, and report refunds
    READ_EVENTS = "read-events"  # read the feed
    ENTRY = "entry"  # check tickets at the door


@fast_path_policy
class IsInternalService(BasePermission):
    """`X-Internal-Token` is INTERNAL_API_TOKEN, which may do everything. Where it is not set, nobody has it."""

    # Subclasses: a token of SERVICE_TOKENS with this scope will do, too.
    scope: Scope | None = None

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - DRF's signature
        token = request.META.get("HTTP_X_INTERNAL_TOKEN", "").encode()
        if settings.INTERNAL_API_TOKEN and hmac.compare_digest(token, settings.INTERNAL_API_TOKEN.encode()):
            return True
        known = [service for service in settings.SERVICE_TOKENS if hmac.compare_digest(token, service.token.encode())]
        if not known:
            if token:
                BAD_TOKENS.spend(client_of(request))
            raise InternalOnly
        if not any(self.scope in service.scopes for service in known):
            raise ScopeMissing
        return True


@fast_path_policy
class MayConfirm(IsInternalService):
    scope = Scope.CONFIRM


@fast_path_policy
class MayRefund(IsInternalService):
    scope = Scope.REFUND


@fast_path_policy
class MayReadEvents(IsInternalService):
    scope = Scope.READ_EVENTS
