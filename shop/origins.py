"""Which requests come from a page of this service, and not from one of another site."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

# What browsers say of a request: by a page of the same origin, or typed into the address bar.
_OWN_SITES = ("same-origin", "none")


def origin_of(meta: Mapping[str, Any]) -> str:
    """Return the origin of a request's own address, such as https://tickets.example.org. `meta` is a WSGI environment."""
    header, secure = settings.SECURE_PROXY_SSL_HEADER or ("", "")
    if header and header in meta:
        scheme = "https" if meta[header].partition(",")[0].strip() == secure else "http"
    else:
        scheme = meta.get("wsgi.url_scheme", "http")
    return f"{scheme}://{meta.get('HTTP_HOST', '')}"


def is_from_own_page(meta: Mapping[str, Any], *, writes: bool) -> bool:
    """Whether a browser has sent the request for a page of this origin. A write must say so by `Origin`."""
    if meta.get("HTTP_SEC_FETCH_SITE", "none") not in _OWN_SITES:
        return False
    origin = meta.get("HTTP_ORIGIN")
    if origin is None:
        return not writes
    return origin == origin_of(meta) or origin in settings.SHOP_ORIGINS


def may_open_socket(origin: str, host: str) -> bool:
    """Whether a socket to `host` is opened by a page of this service: of the same host and port, or one of SHOP_ORIGINS."""
    # Browsers send Origin with each socket, and no page can change it. TLS ends at the proxy: the scheme is not known here.
    return origin in settings.SHOP_ORIGINS or bool(origin and host and urlsplit(origin).netloc == host)
