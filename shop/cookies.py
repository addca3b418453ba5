"""The cookies of the shop: the buyer's token, and what renews it. No script can read them, and no other site sends them.

A value is `<Unix time until which the token is good>.<token>`. With DEBUG each demo buyer has a cookie of their own, and
the page says whose it wants: so that another tab is another person.
"""

import re
import time

from django.conf import settings
from django.http import HttpResponse
from django.http.cookie import parse_cookie

from shop import demo_buyers

TOKEN, RENEWAL, LOGIN = "shop_token", "shop_renewal", "shop_login"
MAX_BYTES = 4000  # browsers drop what is longer
RENEWAL_SECONDS = 30 * 86_400
_VALUE = re.compile(r"(\d{1,12})\.(\S+)", re.ASCII)


def cookie_name(name: str) -> str:
    # `__Host-`: no other host of the same domain can set it, and it goes to this host only, over TLS.
    return f"__Host-{name}" if settings.SESSION_COOKIE_SECURE else name


def token_in(header: str, *, buyer: str = "") -> tuple[str, float]:
    """Return the token in a Cookie header, and until when it is good. Both are empty (0) without one.

    `buyer` is the number of a demo buyer; it counts only where there are any.
    """
    name = demo_buyers.cookie(buyer) if demo_buyers.exist() else cookie_name(TOKEN)
    found = _VALUE.fullmatch(parse_cookie(header).get(name, ""))
    if not found or float(found[1]) <= time.time():
        return "", 0.0
    return found[2], float(found[1])


def renewal_in(header: str) -> str:
    return parse_cookie(header).get(cookie_name(RENEWAL), "")


def set_token(response: HttpResponse, token: str, *, expires_at: float, name: str = "") -> None:
    """Raises ValueError for a token that is too long for a cookie."""
    if len(token) > MAX_BYTES:
        raise ValueError(f"the token has {len(token)} characters")
    _set(response, name or cookie_name(TOKEN), f"{int(expires_at)}.{token}", seconds=int(expires_at - time.time()))


def set_renewal(response: HttpResponse, token: str) -> None:
    _set(response, cookie_name(RENEWAL), token, seconds=RENEWAL_SECONDS)


def set_login(response: HttpResponse, value: str, *, seconds: int) -> None:
    # Lax: the Auth Service sends the browser back, which is a navigation from another site.
    _set(response, cookie_name(LOGIN), value, seconds=seconds, samesite="Lax")


def delete(response: HttpResponse, *names: str) -> None:
    for name in names:
        _set(response, cookie_name(name), "", seconds=0)


def _set(response: HttpResponse, name: str, value: str, *, seconds: int, samesite: str = "Strict") -> None:
    secure = settings.SESSION_COOKIE_SECURE
    response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite=samesite)  # type: ignore[arg-type]
