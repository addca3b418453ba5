"""Mail in development: it goes to a folder instead of a server, and is shown at /dev/mail."""

import email
import time
import uuid
from collections.abc import Sequence
from email.message import EmailMessage as ParsedMessage
from email.policy import default as policy
from pathlib import Path
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from devtools.embedded import local_directory

SHOWN = 100


def directory() -> Path:
    return local_directory() / "mail"


class MailboxBackend(BaseEmailBackend):
    """Writes each message to a file of its own, the newest name last."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        directory().mkdir(parents=True, exist_ok=True)
        for message in email_messages:
            path = directory() / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}"
            path.with_suffix(".part").write_bytes(message.message().as_bytes())
            path.with_suffix(".part").rename(path.with_suffix(".eml"))
        return len(email_messages)


def mailbox(request: HttpRequest) -> HttpResponse:
    """The newest messages; the one that was chosen, or else the newest, beside them."""
    names = sorted((path.name for path in directory().glob("*.eml")), reverse=True)[:SHOWN]
    chosen = request.GET.get("show") or next(iter(names), None)
    if chosen and chosen not in names:
        raise Http404
    messages = [{"name": name, **_headers(_read(name))} for name in names]
    context: dict[str, Any] = {"messages": messages, "chosen": chosen}
    if chosen:
        parsed = _read(chosen)
        context |= {"headers": list(parsed.items()), **_bodies(parsed)}
    return render(request, "devtools/mailbox.html", context)


def _read(name: str) -> ParsedMessage:
    return email.message_from_bytes((directory() / name).read_bytes(), policy=policy)


def _headers(parsed: ParsedMessage) -> dict[str, str]:
    return {"subject": str(parsed["subject"]), "to": str(parsed["to"]), "date": str(parsed["date"])}


def _bodies(parsed: ParsedMessage) -> dict[str, str]:
    parts = {name: parsed.get_body((name,)) for name in ("plain", "html")}
    return {name: part.get_content() if part is not None else "" for name, part in parts.items()}
