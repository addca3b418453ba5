"""Middleware: request ids, metrics and compression for every request; sessions and CSRF for the admin only."""

import gzip
import logging
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string
from rest_framework.permissions import AllowAny

from kernel.observability.request_context import accept_request_id, current_request_id, record_request

GetResponse = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger(__name__)


def request_id(get_response: GetResponse) -> GetResponse:
    """Set the request id, from X-Request-Id or generated: it is in the response and in every log line of the request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request_id = accept_request_id(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = current_request_id.set(request_id)
        try:
            response = get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-Id"] = request_id
        return response

    return middleware


def drain_request_body(get_response: GetResponse) -> GetResponse:
    """Read a body that no view has read, unless it is too large."""

    # With unread bytes left, the server closes the connection, and the client's next request on it fails.
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.META.get("CONTENT_LENGTH") not in (None, "", "0"):
            with suppress(Exception):  # already read, too large, or the client has disconnected
                request.body  # noqa: B018 - reading it is the purpose
        return response

    return middleware


def measure_requests(get_response: GetResponse) -> GetResponse:
    """Count and time each request by its view."""

    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = get_response(request)
        took = time.perf_counter() - started
        view = request.resolver_match.view_name if request.resolver_match else "none"
        record_request(view, request.method, response.status_code, took, request.path)
        response.view_name = view  # type: ignore[attr-defined]  # for `kernel.fastpath.response_cache`: its hits count, too
        return response

    return middleware


# To be stored by anybody, and used again when this service has said that it is still current (ETag).
PUBLIC = "public, max-age=0, must-revalidate"
PRIVATE = "no-store"


def set_cache_control(get_response: GetResponse) -> GetResponse:
    """Say for each response whether it may be stored: only that of a public view may, and no error."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if "Cache-Control" not in response.headers:
            is_read = request.method in ("GET", "HEAD") and response.status_code in (200, 304)
            is_public = is_read and request.resolver_match and is_public_view(request.resolver_match.func)
            response.headers["Cache-Control"] = PUBLIC if is_public else PRIVATE
        return response

    return middleware


@lru_cache(maxsize=500)
def is_public_view(view: Any) -> bool:
    """Whether a view from DRF's as_view() responds to everybody alike, for lack of authentication and permissions."""
    if not hasattr(view, "cls"):
        return False
    names = ("authentication_classes", "permission_classes")
    policies = (policy for name in names for policy in view.initkwargs.get(name, getattr(view.cls, name)))
    return all(policy is AllowAny for policy in policies)


class AdminMiddleware:
    """Applies ADMIN_MIDDLEWARE (sessions, CSRF, languages) and the venue's time zone to paths below /admin/ only.

    The API needs none of them, since it knows only bearer tokens.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = self._chain = get_response
        layers = []
        for path in reversed(settings.ADMIN_MIDDLEWARE):
            self._chain = import_string(path)(self._chain)
            layers.append(self._chain)
        # Django calls these hooks of the middleware in MIDDLEWARE itself. Without them CSRF would not be checked here.
        self._view_hooks = _hooks(reversed(layers), "process_view")
        self._exception_hooks = _hooks(layers, "process_exception")
        self._template_hooks = _hooks(layers, "process_template_response")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_admin(request):
            return self._get_response(request)
        # Language and time zone belong to the thread; both are restored for the API requests that it serves next.
        with translation.override(settings.LANGUAGE_CODE), timezone.override(settings.VENUE_TIME_ZONE):
            response = self._chain(request)
        response.headers.setdefault("Content-Security-Policy", content_security_policy())
        return response

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        return _first_response(self._view_hooks, request, *view)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return _first_response(self._exception_hooks, request, exception)

    def process_template_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        for hook in self._template_hooks if _is_admin(request) else ():
            response = hook(request, response)
        return response


def _is_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")


def _hooks(layers: Iterable[Any], name: str) -> list[Callable[..., Any]]:
    return [getattr(layer, name) for layer in layers if hasattr(layer, name)]


def _first_response(hooks: Iterable[Callable[..., Any]], request: HttpRequest, *arguments: Any) -> HttpResponse | None:
    if not _is_admin(request):
        return None
    return next((response for hook in hooks if (response := hook(request, *arguments)) is not None), None)


def content_security_policy(*, connect_to: str = "") -> str:
    """Return a policy that allows this origin only; `connect_to` is one more origin for connections."""
    return (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        f"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self' {connect_to}"
    ).strip()


@lru_cache(maxsize=500)
def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and not with `q=0`, which refuses it."""
    for offer in header.lower().split(","):
        coding, *parameters = (part.strip() for part in offer.split(";"))
        if coding in ("gzip", "x-gzip"):
            return not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return False


MIN_COMPRESSED_BYTES = 8 * 1024  # below that, compressing costs more than it saves


def compress_responses(get_response: GetResponse) -> GetResponse:
    """Compress responses of MIN_COMPRESSED_BYTES or more with gzip, for clients that accept it."""
    compress = GZipMiddleware(get_response)

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.headers.get("Content-Encoding") == "gzip":
            return _negotiate_encoding(request, response)
        if not response.streaming and len(response.content) < MIN_COMPRESSED_BYTES:
            return response
        if not accepts_gzip(request.META.get("HTTP_ACCEPT_ENCODING", "")):
            patch_vary_headers(response, ("Accept-Encoding",))
            return response
        request.META["HTTP_ACCEPT_ENCODING"] = "gzip"  # Django reads it less well
        return compress.process_response(request, response)  # type: ignore[return-value]

    return middleware


def _negotiate_encoding(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Decompress a response that was compressed before (GzippedJSON), for clients that do not accept gzip."""
    patch_vary_headers(response, ("Accept-Encoding",))
    if accepts_gzip(request.META.get("HTTP_ACCEPT_ENCODING", "")):
        response["ETag"] = f"W/{response['ETag']}"
    else:
        response.content = gzip.decompress(response.content)
        del response["Content-Encoding"]
    return response
