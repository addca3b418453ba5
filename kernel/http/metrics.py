"""GET /metrics, in the format of Prometheus."""

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kernel.http.problems import safe_only
from kernel.observability.exposition import Everything


@safe_only
def metrics(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return HttpResponse(generate_latest(Everything()), content_type=CONTENT_TYPE_LATEST)
