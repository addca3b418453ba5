"""REST conventions that all apps share: JSON, query parameters, error responses."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.errors import InvalidInput
from kernel.http.problems import JSON, PROBLEM_JSON, accepts_problem_json, render_and_log_error
from kernel.wire import GzippedJSON

# --- Parameters -------------------------------------------------------------------------------------------------------


def single_parameters(request: Request, *names: str) -> dict[str, str]:
    """Return the named query parameters that are present. Raises InvalidInput if one is repeated or contains NUL."""
    parameters = {}
    for name in names:
        values = request.query_params.getlist(name)
        if len(values) > 1:
            raise InvalidInput(f"{name} may be given only once")
        if values:
            if "\x00" in values[0]:
                raise InvalidInput(f"Invalid {name}")
            parameters[name] = values[0]
    return parameters


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, or an empty one (see JSONParser)."""
    return request.data if isinstance(request.data, dict) else {}


def positive_integer(text: str, name: str) -> int:
    """Parse an unsigned decimal greater than zero, of up to 15 digits. Raises InvalidInput."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) == 0:
        raise InvalidInput(f"{name} must be a positive integer")
    return int(text)


# --- DRF's hooks ------------------------------------------------------------------------------------------------------


class JSONRenderer(BaseRenderer):
    """Renders data as JSON in UTF-8. Bytes are sent as they are: they come from a cache, and are JSON already."""

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
        if isinstance(data, GzippedJSON) and renderer_context:
            renderer_context["response"]["Content-Encoding"] = "gzip"
        return data if isinstance(data, bytes) else orjson.dumps(data, default=str)


class JSONParser(BaseParser):
    """Parses a JSON object. Other JSON values become an empty object, so that the view reports what is missing."""

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


class JSONOnlyNegotiation(BaseContentNegotiation):
    """Responds with JSON whatever the Accept header says; accepts JSON only."""

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


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER. Every exception of a DRF view becomes a response here, and only here."""
    request: Request = context["request"]
    if request.method == "OPTIONS":  # its response is the header Allow, which DRF adds, and which is for everybody
        return Response(status=204)
    status, body, headers = render_and_log_error(error, as_problem=accepts_problem_json(request))
    response = Response(body, status=status, headers=headers)
    if isinstance(body, dict) and "type" in body:
        response.content_type = PROBLEM_JSON
    return response
