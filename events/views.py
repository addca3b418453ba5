"""GET /events, /events/suggest and /events/:id."""

from functools import partial

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from events import effects, selectors
from events.models import Event
from kernel.errors import InvalidInput
from kernel.fastpath.response_cache import CacheDependency, cached_response
from kernel.http.permissions import charge
from kernel.http.rest import positive_integer, single_parameters
from kernel.wire import parse_id

MAX_PAGE = 100
MAX_SEARCH = 5000
LIMITS = {"of_user": selectors.SEARCH, "of_address": selectors.SEARCH_BY_ADDRESS}


class EventViewSet(ViewSet):
    lookup_value_regex = "[^/]+"

    @cached_response
    def list(self, request: Request) -> tuple[Response, CacheDependency]:
        wanted = _wanted_page(request)
        answer = selectors.event_list(wanted, charge(request, **LIMITS) if wanted.search else None)
        if wanted.search and answer.startswith(selectors.NOTHING) and not wanted.status:
            effects.search_found_nothing(wanted.search)
        return Response(answer), CacheDependency(wanted.cache_key, answer)

    @action(detail=False)
    @cached_response
    def suggest(self, request: Request) -> tuple[Response, CacheDependency]:
        search = _search(single_parameters(request, "q"))
        answer = selectors.suggestions(search, charge(request, **LIMITS) if search else None)
        return Response(answer), CacheDependency(selectors.suggestions_key(search), answer)

    @cached_response
    def retrieve(self, request: Request, pk: str) -> tuple[Response, CacheDependency]:  # noqa: ARG002 - DRF's signature
        event_id = parse_id(pk, "Invalid id format")
        answer = selectors.event_detail(event_id)
        effects.event_was_viewed(event_id)
        viewed_again = partial(effects.event_was_viewed, event_id)
        return Response(answer), CacheDependency(selectors.event_cache_key(event_id), answer, viewed_again)


def _wanted_page(request: Request) -> selectors.EventPage:
    given = single_parameters(request, "status", "q", "page", "limit")
    status, search = given.get("status", ""), _search(given)
    if status and status not in Event.Status.values:
        raise InvalidInput(f"Invalid status. It is one of {', '.join(Event.Status.values)}.")
    return selectors.EventPage(
        status=status,
        search=search,
        page=positive_integer(given.get("page", "1"), "page"),
        limit=min(positive_integer(given.get("limit", "10"), "limit"), MAX_PAGE),
    )


def _search(given: dict[str, str]) -> str:
    search = given.get("q", "").strip()
    if len(search) > MAX_SEARCH:
        raise InvalidInput(f"q has more than {MAX_SEARCH} characters")
    return search
