"""Base classes of domain errors. A domain error means: nothing has changed, and the client is told why."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from django.utils.translation import gettext_noop as _


class Kind(Enum):
    """The kind of a domain error. `kernel.http.problems` maps it to an HTTP status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GONE = "gone"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


class DomainError(Exception):
    """Base of all domain errors. A subclass sets `kind`, `message` (for the user) and `code` (stable, for programs).

    The wire contract has two response bodies: `{"error": message}` for a request that is rejected before the operation
    starts, and `{"success": false, "message": message}` for one that the operation rejects (`result_envelope`). With
    `shows_code` the body contains the code, too.

    The admin translates messages that are marked with `gettext_noop`. A message with values in it has a `template`, which
    is translated before the `values` are filled in.
    """

    kind: Kind = Kind.INVALID
    message: str = ""
    code: str = "REFUSED"
    result_envelope: bool = False
    shows_code: bool = False
    retry_after: int | None = None  # seconds
    template: str = ""
    values: Mapping[str, Any] = {}
    details: Mapping[str, Any] = {}  # for programs, what the code alone does not tell

    def __init__(self, message: str | None = None) -> None:
        if message is not None:
            self.message = message
        super().__init__(self.message)

    @property
    def headers(self) -> Mapping[str, str]:
        """More headers of the response, besides Retry-After."""
        return {}


class Outage(Exception):
    """A component does not respond, or refuses: expected, and worth a line in the log without a traceback."""


class InvalidInput(DomainError):
    """The request is malformed."""

    code = "INVALID_INPUT"


class Unavailable(DomainError):
    """A component that the operation needs is not available."""

    kind = Kind.UNAVAILABLE
    message = _("일시적으로 서비스를 이용할 수 없습니다. 잠시 후 다시 시도해주세요.")
    code = "UNAVAILABLE"
    retry_after = 1
