"""Refusals as answers: of the API, and of what answers without DRF."""

import logging
from collections.abc import Callable
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

from kernel.errors import DomainError, InvalidInput, Kind, Unavailable
from kernel.observability.request_context import current_request_id

logger = logging.getLogger(__name__)

refusals = Counter(
    "ticketservice_errors_total", "Requests that were refused or failed, by the code of docs/errors.md", ["code"]
)
refusals.labels("INTERNAL_ERROR")  # from 0: Prometheus would not see the first one rise

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

HTTP_STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNPROCESSABLE: 422,
    Kind.UNAVAILABLE: 503,
}


class NotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = "Not found"
    code = "NOT_FOUND"


class PayloadTooLarge(DomainError):
    kind = Kind.TOO_LARGE
    message = "The request is too large"
    code = "PAYLOAD_TOO_LARGE"


def error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """For code that runs outside of DRF; in its views see `kernel.http.rest.exception_handler`."""
    status, body, headers = logged_response_to(error, wants_problem=wants_problem(request))
    content_type = PROBLEM_JSON if "type" in body else JSON
    return HttpResponse(orjson.dumps(body), status=status, headers=headers, content_type=content_type)


def safe_only(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A view for GET and HEAD. Refuses other methods in the API's shape."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        refused = error_response(request, MethodNotAllowed(str(request.method)))
        refused["Allow"] = "GET, HEAD"
        return refused

    return checked


def wants_problem(request: Any) -> bool:
    """`request` has META."""
    return PROBLEM_JSON in request.META.get("HTTP_ACCEPT", "")


def logged_response_to(error: Exception, *, wants_problem: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
    """`response_to`, and a line in the log for what is no refusal."""
    answer = response_to(error, wants_problem=wants_problem)
    if answer[0] == 500:
        logger.error("unexpected failure", exc_info=error)
    return answer


def response_to(error: Exception, *, wants_problem: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers for an exception; a 500 for one that is no refusal."""
    refusal = _as_refusal(error)
    if isinstance(refusal, APIException):  # wrong method, wrong media type, a permission of DRF
        status, message = refusal.status_code, str(refusal.detail)
        code = getattr(refusal.detail, "code", refusal.default_code).upper()
        body: dict[str, Any] = {"error": message}
        headers = _headers_of(refusal)
    elif isinstance(refusal, DomainError):
        status, code, message = HTTP_STATUS[refusal.kind], refusal.code, refusal.message
        body = {"success": False, "message": message} if refusal.result_envelope else {"error": message}
        if refusal.shows_code:
            body["code"] = code
        headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after is not None else {}
    else:
        status, code, message, headers = 500, "INTERNAL_ERROR", "서버 오류가 발생했습니다.", {}
        body = {"error": message, "requestId": current_request_id.get()}
    refusals.labels(code).inc()
    if wants_problem:
        body = {
            "type": f"urn:ticketservice:{code.lower()}",
            "title": code,
            "status": status,
            "detail": message,
            "code": code,
        }
    return status, body, headers


def _headers_of(error: APIException) -> dict[str, str]:
    """As rest_framework.views.exception_handler() gives them."""
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    return headers


def _as_refusal(error: Exception) -> Exception:
    """Framework and driver exceptions that are refusals, too."""
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, PermissionDenied):
        return Forbidden()
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge()
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        # Gone, restarting, out of connections, or a lock or statement time-out: nothing was committed that was not answered.
        logger.warning("database unavailable: %s", error)
        return Unavailable()
    return error


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 - Django's hook
    return error_response(request, NotFound())


@receiver(got_request_exception)
def log_crash(request: HttpRequest, **_: Any) -> None:
    """Of what is not answered by DRF: the admin. A signal, for with DEBUG Django answers by itself."""
    logger.exception("unexpected failure at %s", request.path)
    refusals.labels("INTERNAL_ERROR").inc()


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's hook
    return JsonResponse({"error": "서버 오류가 발생했습니다.", "requestId": current_request_id.get()}, status=500)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    refusal = PayloadTooLarge() if isinstance(exception, RequestDataTooBig) else InvalidInput("Bad request")
    return error_response(request, refusal)
