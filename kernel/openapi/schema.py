"""How operations are described in the OpenAPI document; what each one does stands in the apps' own `openapi.py`.

Nothing here runs when a request is answered. What can be read off the code is: who may call comes from a view's
permissions, and a refusal's status, bodies and headers are made by the very code that answers with it.
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

from kernel.errors import InvalidInput, Unavailable
from kernel.http.auth import (
    AdministratorsOnly,
    AuthServiceUnavailable,
    InternalOnly,
    InvalidToken,
    NotAuthenticated,
    UserNotFound,
)
from kernel.http.permissions import IsAdministrator, IsAuthenticated, IsInternalService
from kernel.http.problems import PayloadTooLarge
from kernel.openapi.components import Refusal, Schema, ref, responses_of

REFUSALS = "x-refusals"  # taken out again before the document is shown

# What a view's permission says about who calls: the security scheme, and how they may be refused.
_SIGNED_IN: Sequence[Refusal] = (NotAuthenticated, UserNotFound, InvalidToken, AuthServiceUnavailable)
ACCESS: Mapping[Any, tuple[str, Sequence[Refusal]]] = {
    IsAuthenticated: ("bearer", _SIGNED_IN),
    IsAdministrator: ("bearer", (*_SIGNED_IN, AdministratorsOnly)),
    IsInternalService: ("internalToken", (InternalOnly,)),
}
OF_A_BODY: Sequence[Refusal] = (InvalidInput("Invalid JSON"), PayloadTooLarge, drf.UnsupportedMediaType("text/plain"))


# --- Shapes -----------------------------------------------------------------------------------------------------------


@extend_schema_field({"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"})
class Timestamp(serializers.DateTimeField):
    """A moment as `kernel.wire.timestamp` writes it."""


class MessageSerializer(serializers.Serializer[Any]):
    message = serializers.CharField(help_text="For the user, in Korean.")


# --- Operations -------------------------------------------------------------------------------------------------------


def refused_with(*refusals: Refusal) -> dict[str, Any]:
    """What else an operation may answer, for the `extensions` of `extend_schema`.

    Those that all operations of a view share are known: see `OperationSchema`.
    """
    return {REFUSALS: refusals}


class OperationSchema(AutoSchema):
    """Adds to an operation what all of its kind have."""

    def get_operation_id(self) -> str:
        """Only for views that are served at several paths; the others have names."""
        words = re.split(r"\W+", f"{self.method} {self.path}".lower())
        return words[0] + "".join(word.title() for word in words[1:])

    def get_override_parameters(self) -> list[Any]:
        """Whatever is in a path is an id."""
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
        refusals = [*operation.pop(REFUSALS, ()), *(refusal for _, found in self._access() for refusal in found)]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
            refusals += OF_A_BODY
        if getattr(self.view, "needs_the_database", True):
            refusals.append(Unavailable)
        for status, response in operation["responses"].items():
            response["description"] = response["description"] or HTTPStatus(int(status)).phrase
        if self.method == "GET":
            _add_conditional_get(operation)
        responses = operation["responses"] | responses_of([*refusals, Exception()])
        operation["responses"] = dict(sorted(responses.items()))
        return operation

    def _access(self) -> list[tuple[str, Sequence[Refusal]]]:
        return [ACCESS[permission] for permission in self.view.permission_classes]


def _add_conditional_get(operation: Schema) -> None:
    tag = {"ETag": ref("headers", "ETag")}
    for response in operation["responses"].values():
        response["headers"] = tag | response.get("headers", {})
    operation.setdefault("parameters", []).append(ref("parameters", "If-None-Match"))
    operation["responses"]["304"] = {"description": "As `If-None-Match` says.", "headers": tag}


class Described(OpenApiViewExtension):
    """Describes a view from outside. A subclass names the view (`target_class`) and describes its methods."""

    tag: str
    operations: Mapping[str, Callable[[Any], Any] | Sequence[Callable[[Any], Any]]]  # made by extend_schema
    examples: Path | None = None  # see `read_examples`
    needs_the_database = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]

    def view_replacement(self) -> type[APIView]:
        found: Any = self.target_class
        own = {
            "openapi_examples": read_examples(self.examples) if self.examples else {},
            "needs_the_database": self.needs_the_database,
        }
        described = type(found.__name__, (found,), own)
        extend_schema_view(**self.operations)(described)
        return extend_schema(tags=[self.tag])(described)


def read_examples(path: Path) -> dict[str, list[OpenApiExample]]:
    """Examples by operation id, from `{operationId: {"request": body, "200": body, "200 and a name": body}}`."""
    return {
        operation_id: [_example(key, value) for key, value in bodies.items()]
        for operation_id, bodies in orjson.loads(path.read_bytes()).items()
    }


def _example(key: str, value: Any) -> OpenApiExample:
    status, _, name = key.partition(" ")
    if status == "request":
        return OpenApiExample(name or "Example", value, request_only=True)
    return OpenApiExample(name or "Example", value, response_only=True, status_codes=[status])
