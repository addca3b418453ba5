"""What `realtime` is asked by HTTP in production: health and metrics. REST and the admin, which take 6 MB, are loaded when
somebody asks for something else, as with `runserver`.
"""

from collections.abc import Callable

import orjson
from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, re_path
from django.urls.resolvers import RegexPattern

from kernel.http import problems
from kernel.http.metrics import metrics
from ticketservice.health import ANSWERS, State


def view(answer: Callable[[], State]) -> Callable[[HttpRequest], HttpResponse]:
    @problems.safe_only
    def answering(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
        status, said = answer()
        return HttpResponse(orjson.dumps(said), status=status, content_type=problems.JSON)

    return answering


urlpatterns = [
    *(re_path(f"^(?:api/)?{path}/?$", view(answer)) for path, answer in ANSWERS.items()),
    re_path("^(?:api/)?metrics$", metrics),
    URLResolver(RegexPattern(""), "ticketservice.urls"),
]

handler400 = problems.bad_request
handler404 = problems.not_found
handler500 = problems.server_error
