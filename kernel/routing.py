"""URL patterns by the first segment of the path, so that a request is not compared with all of them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.urls import URLPattern, URLResolver
from django.urls.exceptions import Resolver404
from django.urls.resolvers import RegexPattern, ResolverMatch

_FIRST_SEGMENT = re.compile(r"\^?([a-z-]+)")


class BySegment(URLResolver):
    """Includes patterns each of which begins with a segment of letters: `^events/...`."""

    def __init__(self, patterns: Sequence[URLPattern]) -> None:
        super().__init__(RegexPattern(""), patterns)
        self._by_segment: dict[str, list[URLPattern]] = defaultdict(list)
        for pattern in patterns:
            segment = _FIRST_SEGMENT.match(str(pattern.pattern))
            if segment is None:
                raise ValueError(f"{pattern} does not begin with a segment of letters")
            self._by_segment[segment[1]].append(pattern)

    def resolve(self, path: Any) -> ResolverMatch:
        for pattern in self._by_segment.get(path.partition("/")[0], ()):
            if match := pattern.resolve(path):
                return match
        raise Resolver404({"tried": [], "path": path})
