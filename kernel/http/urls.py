"""The fast path's marks for views and policies, and the index of URL patterns by their first segment."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from django.urls import URLPattern, URLResolver
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response

PolicyClass = TypeVar("PolicyClass", bound=type[Any])
DataMethod = Callable[..., Mapping[str, Any]]


class DataWithHeaders(dict[str, Any]):
    """The data of a response, and more headers for it."""

    def __init__(self, data: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(data)
        self.headers = headers


def fast_path(status: int = 200) -> Callable[[DataMethod], Callable[..., Response]]:
    """Mark a hot method of a viewset for the fast path (`kernel.fastpath.handler`).

    The method returns the data of its response (`DataWithHeaders` if there are headers, too), and must not store anything in
    its viewset. It may use what `fast_path_policy` says of the request. `kernel.fastpath.checks` says what else such a view
    may use.
    """

    def mark(method: DataMethod) -> Callable[..., Response]:
        @wraps(method)
        def view(*args: Any, **kwargs: Any) -> Response:
            data = method(*args, **kwargs)
            return Response(data, status=status, headers=getattr(data, "headers", None))

        view.fast_path = method, status  # type: ignore[attr-defined]  # an attribute of our own
        return view

    return mark


FAST_PATH_POLICIES: set[type[Any]] = {AllowAny, IsAuthenticated}


def fast_path_policy(policy: PolicyClass) -> PolicyClass:
    """Mark an authentication or permission class that views on the fast path may use. Subclasses are not marked.

    One instance serves all requests, so it must not store anything. It may use only what the fast path provides: `META`,
    `method`, `path_info`, `query_params`, `data`, `user`, `auth`, `authenticators` and `successful_authenticator` of the
    request, and `action` of the view.
    """
    FAST_PATH_POLICIES.add(policy)
    return policy


_SEGMENT = re.compile(r"\^?([a-z-]+)")


def first_segment(pattern: URLPattern | URLResolver) -> str:
    """Return the first path segment of a pattern. Raises ValueError if it does not begin with letters."""
    segment = _SEGMENT.match(str(pattern.pattern))
    if segment is None:
        raise ValueError(f"{pattern} does not begin with a segment of letters")
    return segment[1]
