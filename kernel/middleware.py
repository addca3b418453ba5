"""Middleware: a request id for every request, and the admin's own middleware for the admin only."""

import gzip
import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string

GetResponse = Callable[[HttpRequest], HttpResponse]

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="-")
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(given: str) -> str:
    """The id that a caller gave, if it is well formed, or one of our own."""
    return given if given and _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex


def request_id(get_response: GetResponse) -> GetResponse:
    """Takes the caller's X-Request-Id or makes one; it is in the answer and in every log line of the request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        name = request_id_of(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = current_request_id.set(name)
        try:
            response = get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-Id"] = name
        return response

    return middleware


def admin_only(get_response: GetResponse) -> GetResponse:
    """Sessions, CSRF and messages under /admin; the API, which knows only bearer tokens, goes straight to its view."""
    for_admin = get_response
    for path in reversed(settings.ADMIN_MIDDLEWARE):
        for_admin = import_string(path)(for_admin)

    def middleware(request: HttpRequest) -> HttpResponse:
        return (for_admin if request.path_info.startswith("/admin/") else get_response)(request)

    return middleware


class CompressLarge(GZipMiddleware):
    """gzip for answers of some size: below it, packing costs more than it saves."""

    least_bytes = 8 * 1024

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if isinstance(response, HttpResponse) and response.get("Content-Encoding") == "gzip":
            return _as_wanted(request, response)
        if isinstance(response, HttpResponse) and len(response.content) < self.least_bytes:
            return response
        return super().process_response(request, response)


def _as_wanted(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """An answer that was compressed before, unpacked for clients that do not ask for gzip."""
    patch_vary_headers(response, ("Accept-Encoding",))
    if "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", ""):
        response["ETag"] = f"W/{response['ETag']}"
    else:
        response.content = gzip.decompress(response.content)
        del response["Content-Encoding"]
    return response


class RequestIdFilter(logging.Filter):
    """Puts the id of the request that is being answered into log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True
