"""Ways to be refused. A refusal is an answer, not a crash: nothing has changed, and the client is told why."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from django.utils.translation import gettext_noop as _


class Kind(Enum):
    """What sort of refusal it is. `kernel.http.rest` maps a kind to an HTTP status, once."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNPROCESSABLE = "unprocessable"
    UNAVAILABLE = "unavailable"


class DomainError(Exception):
    """Base of all refusals. A subclass states `kind`, `message` (for the user) and `code` (stable, for programs).

    Two shapes are on the wire: a refusal found before the work starts is `{"error": message}`; one by the work itself
    (`result_envelope`) is `{"success": false, "message": message}`. With `shows_code`, the code is in the body, too.

    The admin translates messages that are marked for it (`gettext_noop`); one that has values in it keeps them apart
    from its `template`.
    """

    kind: Kind = Kind.INVALID
    message: str = ""
    code: str = "REFUSED"
    result_envelope: bool = False
    shows_code: bool = False
    retry_after: int | None = None  # seconds
    template: str = ""
    values: Mapping[str, Any] = {}

    def __init__(self, message: str | None = None) -> None:
        if message is not None:
            self.message = message
        super().__init__(self.message)


class InvalidInput(DomainError):
    """The request has not the shape that was asked for."""

    code = "INVALID_INPUT"


class Unavailable(DomainError):
    """A component that is needed does not answer."""

    kind = Kind.UNAVAILABLE
    message = _("일시적으로 서비스를 이용할 수 없습니다. 잠시 후 다시 시도해주세요.")
    code = "UNAVAILABLE"
    retry_after = 1
