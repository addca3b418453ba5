"""What the fast path and the response cache support of Django and DRF. Anything else is a system check error.

Both respond in front of Django's handler. A middleware, policy or overridden method that they do not know would be skipped
silently: a throttle would not throttle, a permission would let everybody in. That is why `web` does not start then. Since
system checks can be silenced, a view with such an error also takes the slow path, and is not cached.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from corsheaders.conf import conf as cors
from corsheaders.signals import check_request_enabled
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.signals import request_finished, request_started
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny, OperandHolder, SingleOperandHolder
from rest_framework.settings import api_settings
from rest_framework.viewsets import ViewSet

from kernel.http.rest import JSONOnlyNegotiation, JSONParser, JSONRenderer, exception_handler
from kernel.http.urls import FAST_PATH_POLICIES

FAST_PATH = "fast_path"  # the tag of these checks; `web` runs them before it serves

# --- What is supported ------------------------------------------------------------------------------------------------

# The fast path does itself what each of these does for an API request.
MIDDLEWARE = {
    "kernel.http.middleware.request_id",
    "kernel.http.middleware.drain_request_body",
    "kernel.http.middleware.measure_requests",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "kernel.http.middleware.compress_responses",
    "kernel.http.middleware.set_cache_control",
    "django.middleware.http.ConditionalGetMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "kernel.http.middleware.AdminMiddleware",
}
# Receivers of request signals: Django's own, which close connections and reset the state of a thread.
RECEIVERS = {
    "django.core.cache.close_caches",
    "django.core.handlers.base.reset_urlconf",
    "django.db.close_old_connections",
    "django.db.reset_queries",
}
# Attributes that determine a view's response, each with the only value that is supported.
VIEW_ATTRIBUTES: dict[str, Any] = {
    "renderer_classes": [JSONRenderer],
    "parser_classes": [JSONParser],
    "content_negotiation_class": JSONOnlyNegotiation,
    "throttle_classes": [],
    "versioning_class": None,
}
# Attributes that a view may override. Policies are checked class by class; the others do not change a response.
FREE_VIEW_ATTRIBUTES = {
    "authentication_classes",
    "permission_classes",
    "metadata_class",  # for OPTIONS, which takes the slow path
    "schema",
    *("name", "description", "suffix", "detail", "basename"),  # as_view() gives each class its own
}


def unsupported_settings() -> list[str]:
    """Return the names of project-wide settings that are not supported. With one, everything takes the slow path."""
    supported = {
        "CORS_URLS_REGEX": (cors.CORS_URLS_REGEX, r"^.*$"),
        "CORS_ALLOW_PRIVATE_NETWORK": (cors.CORS_ALLOW_PRIVATE_NETWORK, False),
        "REST_FRAMEWORK['EXCEPTION_HANDLER']": (api_settings.EXCEPTION_HANDLER, exception_handler),
        "REST_FRAMEWORK['UNAUTHENTICATED_USER']": (api_settings.UNAUTHENTICATED_USER, None),
        "REST_FRAMEWORK['UNAUTHENTICATED_TOKEN']": (api_settings.UNAUTHENTICATED_TOKEN, None),
        "ATOMIC_REQUESTS": (any(database.get("ATOMIC_REQUESTS") for database in settings.DATABASES.values()), False),
    }
    receivers = {
        f"{getattr(receiver, '__module__', '')}.{getattr(receiver, '__qualname__', receiver)}"
        for signal in (request_started, request_finished, check_request_enabled)
        for receiver in signal._live_receivers(sender=None)[0]
    }
    return [
        *(f"middleware {path}" for path in sorted(MIDDLEWARE.symmetric_difference(settings.MIDDLEWARE))),
        *(name for name, (value, only) in supported.items() if value != only),
        *(f"receiver {path}" for path in sorted(receivers - RECEIVERS)),
    ]


def unsupported_on_fast_path(callback: Any, action: str) -> list[str]:
    """Return the names of what an action uses and the fast path does not support. `callback` is from as_view()."""
    policies = [
        f"{name} ({policy})"
        for name in ("authentication_classes", "permission_classes")
        for policy in _leaves(_attribute(callback, name))
        if policy not in FAST_PATH_POLICIES
    ]
    return [*policies, *_unsupported(callback, action, mark="fast_path")]


def unsupported_in_response_cache(callback: Any, action: str) -> list[str]:
    """Return the names of what an action uses and a cached response would skip. `callback` is from as_view()."""
    policies = [
        name
        for name, harmless in (("authentication_classes", []), ("permission_classes", [AllowAny]))
        if any(policy not in harmless for policy in _attribute(callback, name))
    ]
    return [*policies, *_unsupported(callback, action, mark="cached_response")]


def _unsupported(callback: Any, action: str, *, mark: str) -> Iterator[str]:
    for name, only in VIEW_ATTRIBUTES.items():
        value = _attribute(callback, name)
        if (list(value) if isinstance(only, list) else value) != only:
            yield name
    known = {*VIEW_ATTRIBUTES, *FREE_VIEW_ATTRIBUTES}
    for name in dir(ViewSet):
        is_special = name.startswith("__") and name != "__init__"
        if not is_special and name not in known and _attribute(callback, name) is not _attribute_of(ViewSet, name):
            yield name
    method = getattr(callback.cls, action)
    if method.__wrapped__ is not getattr(method, mark)[0]:
        yield f"a decorator around {action}"
    if _layers(callback) != _layers(callback.cls.as_view(dict(callback.actions), **callback.initkwargs)):
        yield "a decorator around the view"


def _attribute(callback: Any, name: str) -> Any:
    """Return the attribute that instances have: as_view() and @action() may override that of the class."""
    return callback.initkwargs[name] if name in callback.initkwargs else _attribute_of(callback.cls, name)


def _attribute_of(viewset: type[Any], name: str) -> Any:
    return inspect.getattr_static(viewset, name, None)  # unbound, so that it can be compared


def _leaves(policies: Iterable[Any]) -> Iterator[Any]:
    """Yield policy classes, and the operands of `A & B`, `A | B` and `~A`."""
    for policy in policies:
        if isinstance(policy, SingleOperandHolder):
            yield from _leaves([policy.op1_class])
        elif isinstance(policy, OperandHolder):
            yield from _leaves([policy.op1_class, policy.op2_class])
        else:
            yield policy


def _layers(function: Any) -> list[Any]:
    """Return the code of a function and of the functions that it wraps."""
    # Comparing attributes does not find a decorator: functools.wraps copies them.
    layers = []
    while function is not None:
        layers.append(getattr(function, "__code__", None))
        function = getattr(function, "__wrapped__", None)
    return layers


# --- The checks -------------------------------------------------------------------------------------------------------

Patterns = Iterable[URLPattern | URLResolver]


def marked_actions(patterns: Patterns, mark: str) -> Iterator[tuple[Any, str]]:
    """Yield each view and the name of each of its methods that has the mark `fast_path` or `cached_response`."""
    seen = set()
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            found = marked_actions(pattern.url_patterns, mark)
        else:
            actions = (getattr(pattern.callback, "actions", None) or {}).values()
            found = ((pattern.callback, action) for action in dict.fromkeys(actions))
        for callback, action in found:
            if hasattr(getattr(callback.cls, action), mark) and (callback, action) not in seen:
                seen.add((callback, action))
                yield callback, action


@register(FAST_PATH)
def check_settings(**_: Any) -> list[CheckMessage]:
    return [
        Error(
            f"The fast path and the response cache do not support this project's {name}.",
            hint="Implement it in kernel.fastpath.handler and kernel.fastpath.response_cache, and add it to "
            "kernel.fastpath.checks. A middleware that is listed there must also be in MIDDLEWARE.",
            id="ticketservice.E007",
        )
        for name in unsupported_settings()
    ]


@register(FAST_PATH)
def check_views(**_: Any) -> list[CheckMessage]:
    patterns = get_resolver().url_patterns
    return [
        *_errors(
            "fast path",
            unsupported_on_fast_path,
            marked_actions(patterns, "fast_path"),
            hint="Remove the mark `fast_path`. An authentication or permission class that meets the conditions of "
            "kernel.http.urls.fast_path_policy can be marked with it.",
            id="ticketservice.E008",
        ),
        *_errors(
            "response cache",
            unsupported_in_response_cache,
            marked_actions(patterns, "cached_response"),
            hint="A cached response is served to every client that requests the path. Remove the mark `cached_response`.",
            id="ticketservice.E009",
        ),
    ]


def _errors(
    part: str,
    unsupported: Callable[[Any, str], list[str]],
    marked: Iterable[tuple[Any, str]],
    **details: str,
) -> Iterator[Error]:
    for callback, action in marked:
        for name in unsupported(callback, action):
            yield Error(f"The {part} does not support {name} of {callback.cls.__name__}.{action}.", **details)
