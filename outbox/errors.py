"""Errors of the feed."""

from kernel.errors import DomainError, Kind


class CursorGone(DomainError):
    """The message after which to read is no longer kept."""

    kind = Kind.GONE
    message = "The cursor is older than the messages that are kept. Read again without it."
    code = "CURSOR_GONE"
    shows_code = True
