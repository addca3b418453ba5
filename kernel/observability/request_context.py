"""Which request or task is being worked on: its id in every log line, its place in the metrics."""

import logging
import random
import re
from contextvars import ContextVar

from django.conf import settings
from prometheus_client import Counter, Histogram

logger = logging.getLogger(__name__)


current_request_id: ContextVar[str] = ContextVar("current_request_id", default="-")


current_job_id: ContextVar[str | None] = ContextVar("current_job_id", default=None)


_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def chosen_id(given: str) -> str:
    """The caller's id for a request if it looks like one, else a new one, which is no secret."""
    return given if _WELL_FORMED.fullmatch(given) else f"{random.getrandbits(128):032x}"


# The two of django-prometheus' figures that tell the others, under its names. Its own middleware counts 14 things for each
# request, which takes 40 µs, a third of a cached answer; these take 3.
responses = Counter("django_http_responses_total_by_status_view_method", "Answers", ["status", "view", "method"])


latency = Histogram(
    "django_http_requests_latency_seconds_by_view_method",
    "How long answers took, without the wait for a thread",
    ["view", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


_series: dict[tuple[int, str, str], tuple[Counter, Histogram]] = {}  # looking a series up costs more than counting


def observed(view: str, method: str | None, status: int, took: float, path: str) -> None:
    """Counts and times a request; logs one that took longer than SLOW_REQUEST_MS."""
    method = method if method in _METHODS else "other"
    key = (status, view, method)
    if (found := _series.get(key)) is None:
        found = _series[key] = responses.labels(*key), latency.labels(view, method)
    found[0].inc()
    found[1].observe(took)
    if took * 1000 > settings.SLOW_REQUEST_MS > 0:
        facts = {"method": method, "path": path, "status": status, "ms": round(took * 1000)}
        logger.warning("slow request", extra=facts)


class RequestIdFilter(logging.Filter):
    """Puts into log records the id of the request that is being answered, has opened the socket, or has asked for the task
    that runs; unless it was said with which id the line goes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = current_request_id.get()
        if job_id := current_job_id.get():
            record.job_id = job_id
        return True
