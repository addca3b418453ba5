"""GET /metrics, in Prometheus' text format."""

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kernel.http.problems import require_safe
from kernel.observability.exposition import ServiceCollector


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return HttpResponse(generate_latest(ServiceCollector()), content_type=CONTENT_TYPE_LATEST)
