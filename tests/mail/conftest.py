from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail.services import send_mails
from tests.support.harness import Api, Database, running_web
from tests.support.mail_server import MailServer, mail_server
from tests.support.mailing import FROM
from tests.support.subscribers import forget_everything


def forget_mail(world: Database) -> None:
    forget_everything(world)
    world.rows("TRUNCATE mails, mail_progress, contacts")


@pytest.fixture
def world(world: Database) -> Iterator[Database]:
    """Without subscribers, contacts and mails, before and after."""
    forget_mail(world)
    yield world
    forget_mail(world)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="session")
def mailing_web(database_url: str, logs: Path) -> Iterator[Api]:
    """`web` with mail on. It sends nothing: that is the worker's."""
    with running_web(
        logs / "mailing-web.log",
        DATABASE_URL=database_url,
        WEB_WORKERS="1",
        MAX_SEATS_PER_RESERVATION="4",
        EMAIL_URL="smtp://127.0.0.1:1",
        MAIL_FROM=FROM,
    ) as api:
        yield api


@pytest.fixture
def mail_on(world: Database, server: MailServer, settings: Any) -> None:
    """This process is a worker with mail on, and has run before."""
    settings.MAIL_ENABLED = True
    settings.EMAIL_BACKEND = "mail.smtp.SMTPBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_TIMEOUT = 5
    settings.MAIL_FROM = FROM
    settings.MAIL_REPLY_TO = "help@tickets.example"
    settings.MAIL_RESERVATION_URL = "https://shop.example/reservations/{id}"
    settings.MAIL_FIRST_PAUSE_SECONDS = 0.2
    assert send_mails() == {}
