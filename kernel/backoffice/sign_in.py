"""Sign-ins to the admin: how many may be tried, and what failed ones leave: a log line and a metric."""

import hashlib
import logging
import secrets
import unicodedata
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from prometheus_client import Counter

from kernel.http.addresses import address_of, network_of
from kernel.redis.rate_limits import RateLimit

logger = logging.getLogger(__name__)

failures = Counter(
    "ticketservice_admin_login_failures_total", "Sign-ins to the admin with a wrong username or password"
)
MAX_LOGGED_CHARACTERS = 150  # as long as a username may be


def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """On Django's signal `user_login_failed`, which has removed the password from `credentials`."""
    failures.inc()
    fields = {
        "username": str(credentials.get("username", ""))[:MAX_LOGGED_CHARACTERS],
        "address": address_of(request.META) if request else "-",
    }
    logger.warning("sign-in to the admin failed", extra=fields)


# --- How many may be tried ---------------------------------------------------------------------------------------------

# Of each account at each address, so that nobody can shut a colleague out from elsewhere; and not of each address, since a
# whole office may share one. A browser in which somebody has signed in to an account before is counted by itself: whoever
# shares the address with a colleague cannot shut out that browser either.
LOGIN = RateLimit("admin-login", "RATE_LIMIT_ADMIN_LOGIN")
DEVICE_COOKIE = "admin_device"
DEVICE_SECONDS = 180 * 86_400
_device_signer = signing.TimestampSigner(salt="kernel.backoffice.device")


class SignInAttempt:
    """A sign-in that is being tried with a form."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        # As the form reads it.
        self._username = unicodedata.normalize("NFKC", request.POST.get("username", "")).strip()
        place = self._known_device() or network_of(address_of(request.META))
        # Neither names in Redis, nor keys of any length.
        self._subject = hashlib.sha256(f"{self._username.lower()}\0{place}".encode()).hexdigest()[:32]

    def count(self) -> None:
        """Count it before the password is looked at, so that many at once are counted, too. Raises RateLimited."""
        LOGIN.spend_anyway(self._subject)

    def finish(self, response: HttpResponse) -> None:
        """Give a user who has signed in the whole allowance back, and let the browser be known by a cookie."""
        user = self._request.user
        if response.status_code != HTTPStatus.FOUND or user.get_username() != self._username:
            return
        LOGIN.forget(self._subject)
        response.set_cookie(
            DEVICE_COOKIE,
            _device_signer.sign(f"{secrets.token_hex(16)}.{self._username}"),
            max_age=DEVICE_SECONDS,
            path=reverse("admin:index"),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )

    def _known_device(self) -> str:
        """Return the random part of a cookie that was given for this account, or an empty string."""
        try:
            signed = _device_signer.unsign(self._request.COOKIES.get(DEVICE_COOKIE, ""), max_age=DEVICE_SECONDS)
        except signing.BadSignature:
            return ""
        device, _, username = signed.partition(".")
        return device if username == self._username else ""
