"""How operations are described in the OpenAPI document. What each of them does is in the apps' own `openapi.py`.

Nothing here runs when a request is served. What follows from the code is derived from it: security from the permissions of
a view, and the status, bodies and headers of errors from the function that renders them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import exceptions as drf
from rest_framework import serializers
from rest_framework.views import APIView

from kernel.config.rates import Rate
from kernel.errors import InvalidInput, Unavailable
from kernel.http.auth import (
    AdministratorsOnly,
    AuthServiceUnavailable,
    InternalOnly,
    InvalidToken,
    NotAuthenticated,
    ScopeMissing,
    UserNotFound,
)
from kernel.http.permissions import (
    IsAdministrator,
    IsAuthenticated,
    IsInternalService,
    MayConfirm,
    MayReadEvents,
    MayRefund,
)
from kernel.http.problems import PayloadTooLarge
from kernel.openapi.components import DocumentedError, Schema, error_responses, ref
from kernel.redis.rate_limits import RateLimited

RATE_LIMITED = RateLimited("join", Rate(120, 60), wait_us=500_000)
ERRORS = "x-errors"  # removed again before the document is served

# For each permission class: the security scheme, and the errors that it may raise.
_SIGNED_IN: Sequence[DocumentedError] = (
    NotAuthenticated,
    UserNotFound,
    InvalidToken,
    AuthServiceUnavailable,
    RATE_LIMITED,  # also of users whose token is valid, where docs/rate-limits.md says so
)
ACCESS: Mapping[Any, tuple[str, Sequence[DocumentedError]]] = {
    IsAuthenticated: ("bearer", _SIGNED_IN),
    IsAdministrator: ("bearer", (*_SIGNED_IN, AdministratorsOnly)),
    **dict.fromkeys(
        (IsInternalService, MayConfirm, MayRefund, MayReadEvents),
        ("internalToken", (InternalOnly, ScopeMissing, RATE_LIMITED)),
    ),
}
_BODY_ERRORS: Sequence[DocumentedError] = (
    InvalidInput("Invalid JSON"),
    PayloadTooLarge,
    drf.UnsupportedMediaType("text/plain"),
)


# --- Fields -----------------------------------------------------------------------------------------------------------


@extend_schema_field({"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"})
class Timestamp(serializers.DateTimeField):
    """A moment in the format of `kernel.wire.timestamp`."""


class MessageSerializer(serializers.Serializer[Any]):
    message = serializers.CharField(help_text="For the user, in Korean.")


# --- Operations -------------------------------------------------------------------------------------------------------


def raises(*errors: DocumentedError) -> dict[str, Any]:
    """Return the errors of an operation, for the `extensions` of `extend_schema`.

    Those of permissions, bodies and the database are added by `OperationSchema`.
    """
    return {ERRORS: errors}


class OperationSchema(AutoSchema):
    """Adds errors, security and conditional requests to the operations that they apply to."""

    def get_operation_id(self) -> str:
        """Return an id made from method and path, for views that are served at several paths. Others have explicit ids."""
        words = re.split(r"\W+", f"{self.method} {self.path}".lower())
        return words[0] + "".join(word.title() for word in words[1:])

    def get_override_parameters(self) -> list[Any]:
        """Describe every path parameter as a UUID."""
        return [
            OpenApiParameter(name, OpenApiTypes.UUID, OpenApiParameter.PATH)
            for name in re.findall(r"{(\w+)}", self.path)
        ]

    def get_examples(self) -> list[OpenApiExample]:
        examples: Mapping[str, list[OpenApiExample]] = getattr(self.view, "openapi_examples", {})
        return examples.get(self.get_operation_id(), [])

    def get_auth(self) -> list[Schema]:
        return [{scheme: []} for scheme, _ in self._access()]

    def get_operation(self, *args: Any, **kwargs: Any) -> Schema | None:
        if (operation := super().get_operation(*args, **kwargs)) is None:
            return None
        errors = [*operation.pop(ERRORS, ()), *(error for _, denials in self._access() for error in denials)]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
            errors += _BODY_ERRORS
        if getattr(self.view, "uses_database", True):
            errors.append(Unavailable)
        for status, response in operation["responses"].items():
            response["description"] = response["description"] or HTTPStatus(int(status)).phrase
        if self.method == "GET":
            _add_conditional_get(operation)
        responses = operation["responses"] | error_responses([*errors, Exception()])
        operation["responses"] = dict(sorted(responses.items()))
        return operation

    def _access(self) -> list[tuple[str, Sequence[DocumentedError]]]:
        return [ACCESS[permission] for permission in self.view.permission_classes]


def _add_conditional_get(operation: Schema) -> None:
    tag = {"ETag": ref("headers", "ETag")}
    for response in operation["responses"].values():
        response["headers"] = tag | response.get("headers", {})
    operation.setdefault("parameters", []).append(ref("parameters", "If-None-Match"))
    operation["responses"]["304"] = {"description": "`If-None-Match` is current.", "headers": tag}


class ViewDescription(OpenApiViewExtension):
    """Describes a view from outside of it. A subclass names the view (`target_class`) and describes its methods."""

    tag: str
    operations: Mapping[str, Callable[[Any], Any] | Sequence[Callable[[Any], Any]]]  # decorators from extend_schema
    examples: Path | None = None  # see `read_examples`
    uses_database = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]

    def view_replacement(self) -> type[APIView]:
        view: Any = self.target_class
        attributes = {
            "openapi_examples": read_examples(self.examples) if self.examples else {},
            "uses_database": self.uses_database,
        }
        described = type(view.__name__, (view,), attributes)
        extend_schema_view(**self.operations)(described)
        return extend_schema(tags=[self.tag])(described)


def read_examples(path: Path) -> dict[str, list[OpenApiExample]]:
    """Read examples by operation id from `{operationId: {"request": body, "200": body, "200 and a name": body}}`."""
    return {
        operation_id: [_example(key, value) for key, value in bodies.items()]
        for operation_id, bodies in orjson.loads(path.read_bytes()).items()
    }


def _example(key: str, value: Any) -> OpenApiExample:
    status, _, name = key.partition(" ")
    if status == "request":
        return OpenApiExample(name or "Example", value, request_only=True)
    return OpenApiExample(name or "Example", value, response_only=True, status_codes=[status])
