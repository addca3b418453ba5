"""Which views are hot, and by which first segment of a path they are found."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from django.urls import URLPattern, URLResolver
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response

Policy = TypeVar("Policy", bound=type[Any])
Asked = Callable[..., Mapping[str, Any]]


def fast_path(status: int = 200) -> Callable[[Asked], Callable[..., Response]]:
    """Marks a method of a viewset that is called often enough to be spared the detour, see `kernel.fastpath.handler`.

    The method returns the data of its answer, and keeps nothing in its viewset. Of its request it uses what is said of
    `fast_path_policy`. What else such a view may have: see `kernel.fastpath.checks`.
    """

    def mark(method: Asked) -> Callable[..., Response]:
        @wraps(method)
        def view(*args: Any, **kwargs: Any) -> Response:
            return Response(method(*args, **kwargs), status=status)

        view.fast_path = method, status  # type: ignore[attr-defined]  # an attribute of our own
        return view

    return mark


FAST_PATH_POLICIES: set[type[Any]] = {AllowAny, IsAuthenticated}


def fast_path_policy(policy: Policy) -> Policy:
    """Marks an authentication or permission class that views on the fast path may have. Subclasses need a mark of their own.

    One instance serves all requests, and keeps nothing of them. It uses only what the fast path gives: of the request
    `META`, `method`, `path_info`, `query_params`, `data`, `user`, `auth`, `authenticators` and `successful_authenticator`;
    of the view `action`.
    """
    FAST_PATH_POLICIES.add(policy)
    return policy


_SEGMENT = re.compile(r"\^?([a-z-]+)")


def first_segment(pattern: URLPattern | URLResolver) -> str:
    """Raises ValueError if it is not letters."""
    segment = _SEGMENT.match(str(pattern.pattern))
    if segment is None:
        raise ValueError(f"{pattern} does not begin with a segment of letters")
    return segment[1]
