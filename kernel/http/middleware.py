"""Middleware: for every request an id and a place in the metrics; and the admin's own middleware, for the admin only."""

import gzip
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.module_loading import import_string
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

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
    """What pages need: style sheets under /static, and sessions, CSRF, languages and the venue's time under /admin. The
    API, which knows only bearer tokens, goes straight to its view. Afterwards the thread speaks the API's language again,
    and lives in UTC.
    """
    for_admin = get_response
    for path in reversed(settings.ADMIN_MIDDLEWARE):
        for_admin = import_string(path)(for_admin)
    for_files = WhiteNoiseMiddleware(get_response)
    static = f"/{settings.STATIC_URL.lstrip('/')}"

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/"):
            return for_files(request) if request.path_info.startswith(static) else get_response(request)
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


def secure(get_response: GetResponse) -> GetResponse:
    """Django's SecurityMiddleware: the headers that it gives every answer are put together once."""
    django = SecurityMiddleware(get_response)
    plain, encrypted = (_headers_of(django, is_secure=is_secure) for is_secure in (False, True))

    def middleware(request: HttpRequest) -> HttpResponse:
        is_secure = request.is_secure()
        if django.redirect and not is_secure:
            return django(request)  # type: ignore[return-value]
        response = get_response(request)
        for name, value in encrypted if is_secure else plain:
            if name not in response.headers:
                response.headers[name] = value
        return response

    return middleware


def _headers_of(django: SecurityMiddleware, *, is_secure: bool) -> list[tuple[str, str]]:
    request = HttpRequest()
    request._get_scheme = lambda: "https" if is_secure else "http"  # type: ignore[attr-defined]
    return [
        header for header in django.process_response(request, HttpResponse()).items() if header[0] != "Content-Type"
    ]


def cross_origin(get_response: GetResponse) -> GetResponse:
    """CORS, for requests that come from a page of another origin."""
    with_origin = CorsMiddleware(get_response)

    def middleware(request: HttpRequest) -> HttpResponse:
        if "HTTP_ORIGIN" in request.META:
            return with_origin(request)  # type: ignore[return-value]
        response = get_response(request)
        patch_vary_headers(response, ("origin",))
        return response

    return middleware


def conditional(get_response: GetResponse) -> GetResponse:
    """An ETag for every answer to GET that has none; 304 for who has that one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.method != "GET" or response.streaming:
            return response
        if "no-store" in response.headers.get("Cache-Control", ""):
            return response
        if "ETag" not in response.headers:
            response.headers["ETag"] = f'"{hashlib.md5(response.content, usedforsecurity=False).hexdigest()}"'
        if "HTTP_IF_NONE_MATCH" in request.META:
            return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response
        return response

    return middleware


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
