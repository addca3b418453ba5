"""The limit of the web server: a Django view that does nothing, without middleware. `/<n>` answers n bytes."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], USE_TZ=True)

from kernel.http.rsgi import ThreadedApplication  # noqa: E402 - it needs settings


def answer(request: HttpRequest, size: int = 0) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return HttpResponse(b"x" * size, content_type="application/json")


urlpatterns = [path("", answer), path("health", answer), path("<int:size>", answer)]
application = ThreadedApplication(get_wsgi_application(), threads=8, max_body_bytes=256 * 1024, body_seconds=5.0)
