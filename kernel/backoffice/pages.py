"""Pages of the admin for requests that it refuses."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kernel.http.problems import error_response, errors
from kernel.redis.rate_limits import RateLimited


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not request.path_info.startswith("/admin/"):
        return error_response(request, exception)
    return _refuse(request, _("Your account may not do this. Ask a superuser for the permission."))


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's hook
    return _refuse(
        request,
        _("The page is too old, or the browser did not send its cookies. Go back, reload the page, and try again."),
    )


def too_many_attempts(request: HttpRequest, error: RateLimited) -> HttpResponse:
    """For a sign-in that is not even tried."""
    errors.labels(error.code).inc()
    minutes = -(-(error.retry_after or 1) // 60)
    explanation = ngettext(
        "There were too many attempts to sign in to this account from here. Try again in %(minutes)s minute.",
        "There were too many attempts to sign in to this account from here. Try again in %(minutes)s minutes.",
        minutes,
    ) % {"minutes": minutes}
    response = _refuse(request, explanation, status=429)
    for name, value in {**error.headers, "Retry-After": str(error.retry_after)}.items():
        response[name] = value
    return response


def _refuse(request: HttpRequest, explanation: str, *, status: int = 403) -> HttpResponse:
    context = {**_site_context(request), "title": _("Not permitted"), "explanation": explanation}
    return render(request, "admin/refused.html", context, status=status)


def _site_context(request: HttpRequest) -> dict[str, Any]:
    return admin.site.each_context(request) if hasattr(request, "user") else {}


def refuse_null_characters(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: PostgreSQL stores no U+0000, so that one in a URL or a cookie would be an unexpected exception."""

    def middleware(request: HttpRequest) -> HttpResponse:
        parameters = (text for name, values in request.GET.lists() for text in (name, *values))
        if any("\0" in text for text in (request.path_info, *parameters, *request.COOKIES.values())):
            return HttpResponseBadRequest(b"Bad request", content_type="text/plain")
        return get_response(request)

    return middleware
