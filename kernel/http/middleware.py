"""Middleware: for every request an id and a place in the metrics; and the admin's own middleware, for the admin only."""

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

from kernel.observability.request_context import chosen_id, current_request_id, observed

GetResponse = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger(__name__)


def request_id(get_response: GetResponse) -> GetResponse:
    """Takes the caller's X-Request-Id or makes one; it is in the answer and in every log line of the request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        name = chosen_id(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = current_request_id.set(name)
        try:
            response = get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-Id"] = name
        return response

    return middleware


def read_to_the_end(get_response: GetResponse) -> GetResponse:
    """Reads a body that no view has asked for: the server closes a connection on which something is left unread, and the
    client's next request on it is lost. Too large a body is left alone.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.META.get("CONTENT_LENGTH") not in (None, "", "0"):
            with suppress(Exception):  # read already, too large, or the client is gone
                request.body  # noqa: B018 - reading it is what is wanted
        return response

    return middleware


def observe(get_response: GetResponse) -> GetResponse:
    """Counts and times each request by its view."""

    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = get_response(request)
        took = time.perf_counter() - started
        view = request.resolver_match.view_name if request.resolver_match else "none"
        observed(view, request.method, response.status_code, took, request.path)
        response.view_name = view  # type: ignore[attr-defined]  # for `kernel.fastpath.response_cache`, which counts, too
        return response

    return middleware


def pages(get_response: GetResponse) -> GetResponse:
    """What the admin's pages need: sessions, CSRF, languages and the venue's time. The API, which knows only bearer tokens,
    goes straight to its view. Afterwards the thread speaks the API's language again, and lives in UTC.
    """
    for_admin = get_response
    for path in reversed(settings.ADMIN_MIDDLEWARE):
        for_admin = import_string(path)(for_admin)

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/"):
            return get_response(request)
        with translation.override(settings.LANGUAGE_CODE), timezone.override(settings.VENUE_TIME_ZONE):
            response = for_admin(request)
        response.headers.setdefault("Content-Security-Policy", content_policy())
        return response

    return middleware


def content_policy(*, connect_to: str = "") -> str:
    """Scripts and connections of our own only; `connect_to` is one more origin that a page may connect to."""
    return (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        f"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self' {connect_to}"
    ).strip()


LEAST_COMPRESSED = 8 * 1024  # bytes; below, packing costs more than it saves


def compress_large(get_response: GetResponse) -> GetResponse:
    """gzip for answers of some size."""
    compress = GZipMiddleware(get_response)

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.headers.get("Content-Encoding") == "gzip":
            return _as_wanted(request, response)
        if not response.streaming and len(response.content) < LEAST_COMPRESSED:
            return response
        return compress.process_response(request, response)  # type: ignore[return-value]

    return middleware


def _as_wanted(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """An answer that was compressed before, unpacked for clients that do not ask for gzip."""
    patch_vary_headers(response, ("Accept-Encoding",))
    if "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", ""):
        response["ETag"] = f"W/{response['ETag']}"
    else:
        response.content = gzip.decompress(response.content)
        del response["Content-Encoding"]
    return response
