"""The whole OpenAPI document: introduction, order, and the pages that belong to no app."""

from operator import itemgetter
from pathlib import Path
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions as drf
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import events.openapi  # noqa: F401 - importing it registers its descriptions
import outbox.openapi
import queueing.openapi  # noqa: F401
import reservations.openapi.operations  # noqa: F401
import seats.openapi  # noqa: F401
import tickets.openapi  # noqa: F401
from kernel.http.problems import NotFound
from kernel.openapi.components import error_responses
from kernel.openapi.schema import ViewDescription, read_examples

INTRODUCTION = Path(__file__).with_name("openapi.md")
EXAMPLES = Path(__file__).with_name("openapi_examples.json")
TAGS = (
    "Events",
    "Tickets",
    "Seats",
    "Waiting room",
    "Reservations",
    "Waiting list",
    "For other services",
    "Waiting room, for administrators",
    "Operation",
    "This document",
)
NOT_UNDER_API = [{"url": "/"}]


# --- Pages ------------------------------------------------------------------------------------------------------------


class AliveSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok"])


class ComponentStateSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "down"])
    latencyMs = serializers.FloatField(required=False, help_text="If it has responded.")
    reason = serializers.CharField(required=False, help_text="If it has not.")


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "down"])
    components = serializers.DictField(child=ComponentStateSerializer(), help_text="`database`, `redis`.")


class HealthPage(APIView):  # for the document only; `ticketservice.health` responds, without DRF
    openapi_examples = read_examples(EXAMPLES)
    uses_database = False


@extend_schema(tags=["Operation"])
class AlivePage(HealthPage):
    @extend_schema(summary="Check whether the process responds", responses={200: AliveSerializer})
    def get(self, request: Request) -> Response: ...  # type: ignore[empty-body]


@extend_schema(tags=["Operation"])
class ComponentPage(HealthPage):
    @extend_schema(
        summary="Check whether the components respond", responses={200: HealthSerializer, 503: HealthSerializer}
    )
    def get(self, request: Request) -> Response: ...  # type: ignore[empty-body]


@extend_schema(tags=["Operation"])
class ReadyPage(HealthPage):
    @extend_schema(
        summary="Check whether the process can receive traffic",
        description="It can while PostgreSQL responds; without Redis the sale continues.",
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request) -> Response: ...  # type: ignore[empty-body]


HEALTH_PAGES: dict[str, type[HealthPage]] = {
    "/health": AlivePage,
    "/health/live": AlivePage,
    "/health/db": ComponentPage,
    "/health/redis": ComponentPage,
    "/health/all": ComponentPage,
    "/health/ready": ReadyPage,
}


class DocumentPage(ViewDescription):
    target_class = "ticketservice.api_docs.Document"
    tag = "This document"
    uses_database = False
    operations = {
        "get": extend_schema(
            operation_id="getApiDocument",
            summary="Get this document",
            responses={200: OpenApiResponse(OpenApiTypes.OBJECT, "OpenAPI 3.1")},
        )
    }


class AsyncDocumentPage(ViewDescription):
    target_class = "ticketservice.api_docs.AsyncDocument"
    tag = "This document"
    uses_database = False
    operations = {
        "get": extend_schema(
            operation_id="getAsyncApiDocument",
            summary="Get the messages over WebSockets and Socket.IO",
            responses={(200, "application/yaml"): OpenApiResponse(OpenApiTypes.STR, "AsyncAPI 3")},
        )
    }


class DocumentationPage(ViewDescription):
    target_class = "ticketservice.api_docs.DocsPage"
    tag = "This document"
    uses_database = False
    operations = {
        "get": extend_schema(
            operation_id="getApiPage",
            summary="Get the page that shows this document",
            responses={(200, "text/html"): OpenApiResponse(OpenApiTypes.STR)},
        )
    }


METRICS = {
    "get": {
        "operationId": "getMetrics",
        "summary": "Get the metrics for Prometheus",
        "tags": ["Operation"],
        "responses": {
            "200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}},
        },
    }
}


# --- Hooks of drf-spectacular -----------------------------------------------------------------------------------------


def one_of_each(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Keep each path once, without the prefix /api, which is one of the document's servers.

    DRF yields the methods of a path in arbitrary order. They are sorted, since all processes must serve the same document.
    """
    by_path: dict[str, list[tuple[str, str, str, Any]]] = {}
    for path, regex, method, view in endpoints:
        plain = path.rstrip("/")
        if plain in ("/api/schema", "/api/asyncapi") or not plain.startswith("/api/"):
            by_path.setdefault(plain, []).append((plain, regex, method, view))
    kept = [endpoint for methods in by_path.values() for endpoint in sorted(methods, key=itemgetter(2))]
    return kept + [(path, path, "GET", page.as_view()) for path, page in HEALTH_PAGES.items()]


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the introduction, /metrics, which DRF does not know, and the responses to other paths and methods."""
    result["info"]["description"] = INTRODUCTION.read_text()
    result["tags"] = [{"name": name} for name in TAGS]
    result["paths"]["/metrics"] = METRICS
    result["webhooks"] = outbox.openapi.webhooks()
    for path in ("/api/schema", "/api/asyncapi", "/api-docs"):
        result["paths"][path]["get"]["servers"] = NOT_UNDER_API
    elsewhere = error_responses([NotFound, drf.MethodNotAllowed("PUT")])
    result["components"]["responses"] = {"AnyOtherPath": elsewhere["404"], "AnyOtherMethod": elsewhere["405"]}
    return result
