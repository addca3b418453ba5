"""Authentication and permission classes for DRF views."""

import hmac
from typing import cast

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from kernel.http.auth import AdministratorsOnly, InternalOnly, NotAuthenticated, User, verify
from kernel.http.urls import fast_path_policy


def user_of(request: Request) -> User:
    """Return the authenticated user. Only for views with IsAuthenticated."""
    return cast("User", request.user)


@fast_path_policy
class BearerToken(BaseAuthentication):
    """`Authorization: Bearer <token>`. Without the header `request.user` is None."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        return verify(token), None


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


@fast_path_policy
class IsInternalService(BasePermission):
    """`X-Internal-Token` equals INTERNAL_API_TOKEN. If that is not set, every request is denied."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - DRF's signature
        token = request.META.get("HTTP_X_INTERNAL_TOKEN", "").encode()
        if not settings.INTERNAL_API_TOKEN or not hmac.compare_digest(token, settings.INTERNAL_API_TOKEN.encode()):
            raise InternalOnly
        return True
