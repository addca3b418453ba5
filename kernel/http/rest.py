"""The REST conventions that all apps share: JSON in and out, parameters, and refusals as answers."""

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
from kernel.http.problems import JSON, PROBLEM_JSON, logged_response_to, wants_problem
from kernel.wire import Packed

# --- What was sent ----------------------------------------------------------------------------------------------------


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


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's hook: every exception of a view becomes an answer here, and only here."""
    request: Request = context["request"]
    status, body, headers = logged_response_to(error, wants_problem=wants_problem(request))
    response = Response(body, status=status, headers=headers)
    if isinstance(body, dict) and "type" in body:
        response.content_type = PROBLEM_JSON
    return response
