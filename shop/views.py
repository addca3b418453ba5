"""The pages. Each is the same for everybody: what is on it comes from the API, by the scripts in static/shop."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from kernel.http.addresses import realtime_url
from shop import demo_buyers, texts

LANGUAGE_COOKIE = "shop_language"
LANGUAGE_SECONDS = 365 * 86_400


def page(name: str, *, title: str) -> Callable[..., HttpResponse]:
    """Return the view of a page: shop/<name>.html with the script pages/<name>.js. `title` is the key of a text."""

    def view(request: HttpRequest, **ids: UUID) -> HttpResponse:
        language = texts.language_of(request.GET.get("lang"), request.COOKIES.get(LANGUAGE_COOKIE), _accepted(request))
        words = texts.in_language(language)
        context = {
            "language": language,
            "other_language": next(other for other in texts.LANGUAGES if other != language),
            "page": name,
            "t": words,
            "title": words[title],
            "config": _config(request, language, ids),
        }
        response = HttpResponse(render_to_string(f"shop/{name}.html", context))
        response["Content-Security-Policy"] = _content_security_policy(realtime_url(request))
        response["Content-Language"] = language
        if request.GET.get("lang") == language:
            response.set_cookie(
                LANGUAGE_COOKIE, language, max_age=LANGUAGE_SECONDS, path="/", samesite="Lax", httponly=True,
                secure=settings.SESSION_COOKIE_SECURE,
            )  # fmt: skip
        return response

    return view


catalogue = page("catalogue", title="catalogue")
event = page("event", title="event")
queue = page("queue", title="waiting_room")
seats = page("seats", title="choose_seats")
standing = page("standing", title="choose_tickets")
reservation = page("reservation", title="your_reservation")
my_tickets = page("my-tickets", title="my_tickets")


def front_page(otherwise: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view of `/`: the catalogue for browsers, and for programs what it was without the shop."""

    def view(request: HttpRequest) -> HttpResponse:
        wants_page = "text/html" in request.META.get("HTTP_ACCEPT", "") and request.method in ("GET", "HEAD")
        response = catalogue(request) if wants_page else otherwise(request)
        response["Vary"] = "Accept"
        return response

    return view


def _accepted(request: HttpRequest) -> str:
    return str(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))


def _config(request: HttpRequest, language: str, ids: dict[str, UUID]) -> dict[str, Any]:
    """What the scripts have to know of this service."""
    return {
        "language": language,
        "api": "/shop/api",
        "realtime": realtime_url(request),
        "paymentUrl": settings.PAYMENT_URL,
        "posterHosts": settings.SHOP_POSTER_HOSTS,
        "timeZone": settings.VENUE_TIME_ZONE,
        "hasDemoBuyers": demo_buyers.exist(),
        "demoNames": [names[texts.LANGUAGES.index(language)] for names in demo_buyers.NAMES]
        if demo_buyers.exist()
        else [],
        "canSignIn": bool(settings.SHOP_LOGIN_URL),
        **{name: str(value) for name, value in ids.items()},
    }


def _content_security_policy(realtime: str) -> str:
    """Return a policy that allows this origin, `realtime` and the hosts of posters only; nothing inline."""
    pictures = " ".join(["'self'", *(f"https://{host}" for host in settings.SHOP_POSTER_HOSTS)])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src {pictures};"
        f" connect-src 'self' {realtime}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
