"""Failed sign-ins leave a trace: a log line and a metric."""

import logging
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from prometheus_client import Counter

logger = logging.getLogger(__name__)

failures = Counter(
    "ticketservice_admin_login_failures_total", "Sign-ins to the admin with a wrong username or password"
)
MAX_LOGGED_CHARACTERS = 150  # as long as a username may be


def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """On Django's signal `user_login_failed`, which has removed the password from `credentials`."""
    failures.inc()
    fields = {"username": str(credentials.get("username", ""))[:MAX_LOGGED_CHARACTERS], "address": _address_of(request)}
    logger.warning("sign-in to the admin failed", extra=fields)


def _address_of(request: HttpRequest | None) -> str:
    """As far as it can be trusted: each of our proxies has appended one to `X-Forwarded-For`."""
    if request is None:
        return "-"
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if settings.TRUSTED_PROXIES > 0 and hops:
        return str(hops[-min(settings.TRUSTED_PROXIES, len(hops))])
    return str(request.META.get("REMOTE_ADDR", "-"))
