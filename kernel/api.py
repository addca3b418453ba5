"""The REST conventions that all apps share: JSON in and out, ids, timestamps, and refusals as answers."""

import gzip
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from prometheus_client import Counter
from psycopg_pool import PoolTimeout
from rest_framework import exceptions as drf
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.errors import InvalidInput, Kind, Refused, Unavailable
from kernel.middleware import current_request_id

logger = logging.getLogger(__name__)

refusals = Counter("refusals_total", "Requests that were refused or failed, by the code of docs/errors.md", ["code"])
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

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


# --- Values on the wire -----------------------------------------------------------------------------------------------


def parse_id(value: object, message: str) -> UUID:
    """A UUID as clients write it (36 characters, either case). Raises InvalidInput(message) for anything else."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise InvalidInput(message)


def timestamp(moment: datetime | None) -> str | None:
    """UTC with milliseconds, `2030-06-01T10:00:00.000Z`: what JavaScript's Date writes. `moment` is in UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def single_parameters(request: Request, *names: str) -> dict[str, str]:
    """The named query parameters that are present. Raises InvalidInput when one is there twice or holds a NUL."""
    found = {}
    for name in names:
        values = request.query_params.getlist(name)
        if len(values) > 1:
            raise InvalidInput(f"{name} may be given only once")
        if values:
            if "\x00" in values[0]:
                raise InvalidInput(f"Invalid {name}")
            found[name] = values[0]
    return found


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; empty when there was none (see JSONParser)."""
    return request.data if isinstance(request.data, dict) else {}


def positive_integer(text: str, name: str) -> int:
    """A decimal without sign, greater than zero. Raises InvalidInput."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) == 0:
        raise InvalidInput(f"{name} must be a positive integer")
    return int(text)


# --- Requests and answers ---------------------------------------------------------------------------------------------


class Packed(bytes):
    """JSON that was compressed once, by `packed`, for all who ask. Who can not unpack it gets it unpacked, by
    `kernel.middleware.compress_large`."""


def packed(answer: bytes) -> Packed:
    return Packed(gzip.compress(answer, compresslevel=1, mtime=0))  # twice as fast as the default, and 10 % larger


class JSONRenderer(BaseRenderer):
    """Renders data as UTF-8 JSON; bytes are JSON already (a cached answer)."""

    media_type = JSON
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        if isinstance(data, Packed) and renderer_context:
            renderer_context["response"]["Content-Encoding"] = "gzip"
        return data if isinstance(data, bytes) else orjson.dumps(data, default=str)


class JSONParser(BaseParser):
    """Parses a JSON object. Any other JSON value counts as an empty object, so that the view names what is missing."""

    media_type = JSON

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        try:
            value = orjson.loads(stream.body)
        except orjson.JSONDecodeError as error:
            raise InvalidInput("Invalid JSON") from error
        return value if isinstance(value, dict) else {}


class AlwaysJSON(BaseContentNegotiation):
    """There is only JSON to give, whatever the client would rather have."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        content_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next(iter(parsers)) if content_type == JSON else None

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - DRF's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), JSON


# --- Refusals ---------------------------------------------------------------------------------------------------------


class NotFound(Refused):
    kind = Kind.NOT_FOUND
    message = "Not found"
    code = "NOT_FOUND"


class PayloadTooLarge(Refused):
    kind = Kind.TOO_LARGE
    message = "The request is too large"
    code = "PAYLOAD_TOO_LARGE"


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's hook: every exception of a view becomes an answer here, and only here."""
    request: Request = context["request"]
    status, body, headers = logged_answer_to(error, wants_problem=wants_problem(request))
    response = Response(body, status=status, headers=headers)
    if isinstance(body, dict) and "type" in body:
        response.content_type = PROBLEM_JSON
    return response


def error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """The same for code that runs outside of DRF."""
    status, body, headers = logged_answer_to(error, wants_problem=wants_problem(request))
    content_type = PROBLEM_JSON if "type" in body else JSON
    return HttpResponse(orjson.dumps(body), status=status, headers=headers, content_type=content_type)


def wants_problem(request: Any) -> bool:
    """`request` has META."""
    return PROBLEM_JSON in request.META.get("HTTP_ACCEPT", "")


def logged_answer_to(error: Exception, *, wants_problem: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
    """`answer_to`, and a line in the log for what is no refusal."""
    answer = answer_to(error, wants_problem=wants_problem)
    if answer[0] == 500:
        logger.error("unexpected failure", exc_info=error)
    return answer


def answer_to(error: Exception, *, wants_problem: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers for an exception; a 500 for one that is no refusal."""
    refusal = _as_refusal(error)
    if isinstance(refusal, drf.APIException):  # wrong method, wrong media type
        status, code, message = refusal.status_code, refusal.default_code.upper(), str(refusal.detail)
        body: dict[str, Any] = {"error": message}
        headers = {}
    elif isinstance(refusal, Refused):
        status, code, message = HTTP_STATUS[refusal.kind], refusal.code, refusal.message
        body = {"success": False, "message": message} if refusal.by_the_work else {"error": message}
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


def _as_refusal(error: Exception) -> Exception:
    """Framework and driver exceptions that are refusals, too."""
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge()
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        # Gone, restarting, out of connections, or a lock or statement time-out: nothing was committed that was not answered.
        logger.warning("database unavailable: %s", error)
        return Unavailable()
    return error


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 - Django's hook
    return error_response(request, NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's hook, for what is not answered by DRF: the admin."""
    logger.exception("unexpected failure at %s", request.path)
    refusals.labels("INTERNAL_ERROR").inc()
    return JsonResponse({"error": "서버 오류가 발생했습니다.", "requestId": current_request_id.get()}, status=500)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    refusal = PayloadTooLarge() if isinstance(exception, RequestDataTooBig) else InvalidInput("Bad request")
    return error_response(request, refusal)
