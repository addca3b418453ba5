"""Addresses: of clients, which one a request comes from and what counts as one; and of `realtime`, for browsers."""

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest

logger = logging.getLogger(__name__)

_IPV6_PREFIX = 64  # one customer's network: everybody in it has 2^64 addresses to choose from
UNKNOWN = "unknown"


def client_address(peer: str, forwarded: Iterable[str]) -> str:
    """Return the client's address as far as it can be trusted: each of our proxies has appended one to `X-Forwarded-For`.

    `peer` is the address that has connected, `forwarded` are the values of the header.
    """
    hops = [hop.strip() for hop in ",".join(forwarded).split(",") if hop.strip()]
    if hops and settings.TRUSTED_PROXIES <= 0:
        warn_of_ignored_header()
    if hops and settings.TRUSTED_PROXIES > 0:
        return str(hops[-min(settings.TRUSTED_PROXIES, len(hops))])
    return peer


def address_of(meta: Mapping[str, Any]) -> str:
    """Return the client's address of a request with this WSGI environment."""
    return client_address(str(meta.get("REMOTE_ADDR", "")), [str(meta.get("HTTP_X_FORWARDED_FOR", ""))])


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 address.

    Whatever is no address counts as one client, too, so that nobody can invent new ones. A port and brackets are ignored.
    """
    text = address.strip().partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _IPV6_PREFIX), strict=False))


def realtime_url(request: HttpRequest) -> str:
    """Return the base URL of the WebSockets as this browser reaches them: `ws://...` or `wss://...`."""
    url: str = settings.REALTIME_URL
    if not url or url.startswith(":"):
        host = request.get_host().rpartition(":")[0] or request.get_host() if url else request.get_host()
        return f"{'wss' if request.is_secure() else 'ws'}://{host}{url}"
    return f"ws{url[4:]}" if url.startswith("http") else url


_has_warned = False


def warn_of_ignored_header() -> None:
    """Log, once for each process, that a proxy stands in front of it and is not counted in TRUSTED_PROXIES."""
    global _has_warned
    if not _has_warned:
        _has_warned = True
        logger.warning(
            "X-Forwarded-For arrives, but TRUSTED_PROXIES is 0: limits by address count all clients behind a proxy as one. "
            "Set TRUSTED_PROXIES to the number of your proxies, or have them remove the header."
        )
