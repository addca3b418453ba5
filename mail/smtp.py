"""Django's SMTP back end, which also says when a message is handed over."""

import smtplib
from collections.abc import Callable
from typing import Any

from django.core.mail.backends import smtp


class _SayingSMTP(smtplib.SMTP):
    before_content: Callable[[], object]

    def data(self, msg: Any) -> tuple[int, bytes]:
        # Until here nothing of the message was sent. From here on, a connection that breaks may have brought all of it.
        self.before_content()
        return super().data(msg)


class _SayingSecureSMTP(_SayingSMTP, smtplib.SMTP_SSL):
    pass


class SMTPBackend(smtp.EmailBackend):
    """`before_content` is called before the content of each message is sent. What it raises stops the message."""

    before_content: Callable[[], object]

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _SayingSecureSMTP if self.use_ssl else _SayingSMTP

    def send_messages(self, email_messages: Any) -> int:
        self.open()
        self.connection.before_content = self.before_content  # type: ignore[union-attr]
        return super().send_messages(email_messages)
