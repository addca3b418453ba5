"""Exceptions to error responses, for the API and for views without DRF."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from prometheus_client import Counter
from psycopg_pool import PoolTimeout
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.exceptions import PermissionDenied as Forbidden

from kernel.errors import DomainError, InvalidInput, Kind, Outage, Unavailable
from kernel.observability.request_context import current_request_id

logger = logging.getLogger(__name__)

errors = Counter("ticketservice_errors_total", "Error responses, by the code of docs/errors.md", ["code"])
errors.labels("INTERNAL_ERROR")  # exported as 0 from the start: rate() does not see the first increase otherwise

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

HTTP_STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.TIMEOUT: 408,
    Kind.TOO_LARGE: 413,
    Kind.UNPROCESSABLE: 422,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}


class NotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = "Not found"
    code = "NOT_FOUND"


class RequestTimeout(DomainError):
    kind = Kind.TIMEOUT
    message = "The body of the request took too long to arrive"
    code = "REQUEST_TIMEOUT"


class PayloadTooLarge(DomainError):
    kind = Kind.TOO_LARGE
    message = "The request is too large"
    code = "PAYLOAD_TOO_LARGE"


def error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the response to an exception outside of DRF; in its views `kernel.http.rest.exception_handler` makes it."""
    status, body, headers = render_and_log_error(error, as_problem=accepts_problem_json(request))
    content_type = PROBLEM_JSON if "type" in body else JSON
    return HttpResponse(orjson.dumps(body), status=status, headers=headers, content_type=content_type)


def require_safe(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Allow GET and HEAD only. Like Django's decorator, but with the API's error response."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        response = error_response(request, MethodNotAllowed(str(request.method)))
        response["Allow"] = "GET, HEAD"
        return response

    return checked


def accepts_problem_json(request: Any) -> bool:
    """Whether the client asks for RFC 9457. `request` is anything with META."""
    return PROBLEM_JSON in request.META.get("HTTP_ACCEPT", "")


def render_and_log_error(error: Exception, *, as_problem: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
    """`render_error`, with a traceback in the log for unexpected exceptions (500)."""
    rendered = render_error(error, as_problem=as_problem)
    if rendered[0] == 500:
        logger.error("unexpected exception", exc_info=error)
    return rendered


def render_error(error: Exception, *, as_problem: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers for an exception, and count it. Unexpected exceptions become a 500."""
    error = _translate(error)
    details: Mapping[str, Any] = {}
    if isinstance(error, APIException):  # DRF: a wrong method or media type, a permission
        status, message = error.status_code, str(error.detail)
        code = getattr(error.detail, "code", error.default_code).upper()
        body: dict[str, Any] = {"error": message}
        headers = _headers_of(error)
    elif isinstance(error, DomainError):
        status, code, message, details = HTTP_STATUS[error.kind], error.code, error.message, error.details
        body = {"success": False, "message": message} if error.result_envelope else {"error": message}
        if error.shows_code:
            body["code"] = code
        headers = {
            **error.headers,
            **({"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}),
        }
    else:
        status, code, message, headers = 500, "INTERNAL_ERROR", "서버 오류가 발생했습니다.", {}
        body = {"error": message, "requestId": current_request_id.get()}
    errors.labels(code).inc()
    if as_problem:
        body = {
            "type": f"urn:ticketservice:{code.lower()}",
            "title": code,
            "status": status,
            "detail": message,
            "code": code,
        }
    if details:
        body["details"] = details
    return status, body, headers


def _headers_of(error: APIException) -> dict[str, str]:
    """Return the headers that rest_framework.views.exception_handler() sets."""
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    return headers


def _translate(error: Exception) -> Exception:
    """Return the domain error that an exception of the framework or of a driver stands for, or the exception itself."""
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, PermissionDenied):
        return Forbidden()
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge()
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout | Outage):
        # Down, restarting, out of connections, or a lock or statement timeout. The transaction was not committed, unless
        # the connection was lost during the commit itself: then the client's retry finds out.
        logger.warning("unavailable: %s: %s", type(error).__name__, error)
        return Unavailable()
    return error


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 - Django's hook
    return error_response(request, NotFound())


@receiver(got_request_exception)
def log_crash(request: HttpRequest, **_: Any) -> None:
    """Log an exception of a view outside of DRF, that is, of the admin."""
    # By signal instead of `server_error`, which Django does not call with DEBUG.
    logger.exception("unexpected exception at %s", request.path)
    errors.labels("INTERNAL_ERROR").inc()


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's hook
    return JsonResponse({"error": "서버 오류가 발생했습니다.", "requestId": current_request_id.get()}, status=500)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    error = PayloadTooLarge() if isinstance(exception, RequestDataTooBig) else InvalidInput("Bad request")
    return error_response(request, error)
