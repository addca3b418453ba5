"""A mail server that does as it is told, and what it was given."""

import asyncio
import email
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as policy
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.harness import free_port

logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's: a line for each command

OK = "250 OK"
HANG_UP = "hang up"  # has read the message, and breaks the connection instead of an answer


@dataclass
class Received:
    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.content, policy=policy)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def subject(self) -> str:
        return str(self.message["Subject"]).strip()  # a long one may begin on a line of its own

    @property
    def text(self) -> str:
        return self.message.get_body(("plain",)).get_content().replace("\r\n", "\n")

    @property
    def html(self) -> str:
        return self.message.get_body(("html",)).get_content()


Answering = Callable[[Any], str | None]


def always(answer: str | None) -> Answering:
    return lambda _: answer


as_usual = always(None)


@dataclass
class MailServer:
    """Answers OK, unless `on_sender`, `on_recipient` or `on_content` return something else."""

    port: int
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    on_sender: Answering = as_usual
    on_recipient: Answering = as_usual
    on_content: Answering = as_usual
    closes_after: int = 0  # mails over one connection; 0: never

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    # --- What aiosmtpd calls, with its server, session and envelope ---------------------------------------------------

    async def handle_EHLO(self, _: Any, session: Any, __: Any, name: str, answers: list[str]) -> Any:  # noqa: N802
        self.connections += 1
        session.host_name = name
        return answers

    async def handle_MAIL(self, _: Any, __: Any, envelope: Any, address: str, *___: Any) -> str:  # noqa: N802
        if (answer := self.on_sender(address)) is not None:
            return answer
        envelope.mail_from = address
        return OK

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, *___: Any) -> str:  # noqa: N802
        if (answer := self.on_recipient(address)) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        given = Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content)
        answer = self.on_content(given)
        if answer in (None, HANG_UP):
            self.received.append(given)
        if answer == HANG_UP:
            server.transport.abort()
        session.mails = getattr(session, "mails", 0) + 1
        if session.mails == self.closes_after:
            asyncio.get_running_loop().call_later(0.001, server.transport.close)
        return answer or OK


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer(free_port())
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
