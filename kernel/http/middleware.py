"""Middleware: request ids, metrics and compression for every request; sessions and CSRF for the admin only."""

import gzip
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string

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


def admin_middleware(get_response: GetResponse) -> GetResponse:
    """Apply ADMIN_MIDDLEWARE (sessions, CSRF, languages) and the venue's time zone to paths below /admin/ only.

    The API needs none of them, since it knows only bearer tokens.
    """
    admin_chain = get_response
    for path in reversed(settings.ADMIN_MIDDLEWARE):
        admin_chain = import_string(path)(admin_chain)

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/"):
            return get_response(request)
        # Language and time zone belong to the thread; both are restored for the API requests that it serves next.
        with translation.override(settings.LANGUAGE_CODE), timezone.override(settings.VENUE_TIME_ZONE):
            response = admin_chain(request)
        response.headers.setdefault("Content-Security-Policy", content_security_policy())
        return response

    return middleware


def content_security_policy(*, connect_to: str = "") -> str:
    """Return a policy that allows this origin only; `connect_to` is one more origin for connections."""
    return (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        f"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self' {connect_to}"
    ).strip()


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
        return compress.process_response(request, response)  # type: ignore[return-value]

    return middleware


def _negotiate_encoding(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Decompress a response that was compressed before (GzippedJSON), for clients that do not accept gzip."""
    patch_vary_headers(response, ("Accept-Encoding",))
    if "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", ""):
        response["ETag"] = f"W/{response['ETag']}"
    else:
        response.content = gzip.decompress(response.content)
        del response["Content-Encoding"]
    return response
