"""A connection to the mail server, and what became of a message that was sent over it."""

import re
import smtplib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from django.core.mail import EmailMultiAlternatives, get_connection

from mail.smtp import SMTPBackend

_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+")
MAX_ERROR = 500


class MailOutcome(StrEnum):
    """The status of a mail after an attempt; `pending`: it is tried again."""

    SENT = "sent"
    PENDING = "pending"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Result:
    outcome: MailOutcome
    error: str = ""


class ServerUnavailable(Exception):
    """The mail server cannot be reached, or does not let us in."""


class Connection:
    """One connection to the mail server of the settings, opened when it is needed."""

    def __init__(self) -> None:
        self._backend = get_connection()
        self._is_used = False

    def open(self) -> None:
        """Raises ServerUnavailable."""
        try:
            if self._backend.open():
                self._is_used = False
        except OSError as error:  # smtplib's errors are OSErrors, too
            raise ServerUnavailable(describe(error)) from error

    def close(self) -> None:
        self._is_used = False
        with suppress(OSError):
            self._backend.close()

    def send(self, message: EmailMultiAlternatives, *, before_content: Callable[[], object]) -> Result:
        """Sends it once. `before_content` is called just before it is handed over, and stops it by an exception.

        Raises ServerUnavailable, before anything was handed over.
        """
        handing_over = _HandingOver(before_content)
        try:
            if isinstance(self._backend, SMTPBackend):
                self._backend.before_content = handing_over
            else:
                handing_over()  # other back ends do not say when
            self._backend.send_messages([message])
        except Exception as error:
            was_used = self._is_used
            self.close()
            if handing_over.is_stopped:
                raise
            if was_used and not handing_over.is_done and isinstance(error, smtplib.SMTPServerDisconnected):
                # The server has closed a connection that it found old. It knows nothing of the message.
                self.open()
                return self.send(message, before_content=before_content)
            return _failure(error, is_handed_over=handing_over.is_done)
        self._is_used = True
        return Result(MailOutcome.SENT)


class _HandingOver:
    """Calls `before_content`, and remembers whether it was called, and whether it has failed."""

    def __init__(self, before_content: Callable[[], object]) -> None:
        self._before_content = before_content
        self.is_done = self.is_stopped = False

    def __call__(self) -> None:
        self.is_stopped = True
        self._before_content()
        self.is_done, self.is_stopped = True, False


def _failure(error: Exception, *, is_handed_over: bool) -> Result:
    """What an error means for the message. A reply of the server is definite, whenever it comes."""
    codes = _codes(error)
    # A refused sender is a fault of ours, or of the server's settings, and concerns every message.
    if codes and all(500 <= code < 600 for code in codes) and not isinstance(error, smtplib.SMTPSenderRefused):
        return Result(MailOutcome.FAILED, describe(error))
    if is_handed_over and not all(400 <= code < 600 for code in codes or [0]):
        return Result(MailOutcome.UNCERTAIN, describe(error))
    return Result(MailOutcome.PENDING, describe(error))


def _codes(error: Exception) -> list[int]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in error.recipients.values()]
    return [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []


def describe(error: BaseException) -> str:
    """What to show of an error: without addresses, which a server likes to repeat."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            parts = [f"{code} {_text(reply)}" for code, reply in error.recipients.values()]
        case smtplib.SMTPResponseException():
            parts = [f"{error.smtp_code} {_text(error.smtp_error)}"]
        case _:
            parts = [f"{type(error).__name__}: {error}"]
    return _ADDRESS.sub("(address)", "; ".join(parts)).replace("\x00", "")[:MAX_ERROR]


def _text(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply
