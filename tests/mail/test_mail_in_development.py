"""`make run` shows mail at a page, and asks no mail server."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools import mailbox
from devtools.management.commands.run import MAILBOX, _process_environment
from mail.services import send_mails
from tests.support.harness import Api, Database, manage, running_web
from tests.support.mailing import Buyer

pytestmark = pytest.mark.usefixtures("mail_on")


@pytest.fixture
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    settings.EMAIL_BACKEND = MAILBOX["EMAIL_BACKEND"]
    return tmp_path / "mail"


@pytest.fixture
def developers_web(folder: Path, database_url: str, logs: Path) -> Iterator[Api]:
    """As `make run` starts it."""
    environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "1", "LOCAL_DIR": str(folder.parent), **MAILBOX}
    with running_web(logs / "developers-web.log", **environment) as api:
        yield api


def test_the_page_shows_what_buyers_would_get(folder: Path, developers_web: Api, world: Database) -> None:
    def page(path: str = "/dev/mail") -> str:
        answer = developers_web.get(path, headers={"Accept-Encoding": "identity"})
        assert answer.status == 200
        return answer.json.decode()

    assert "None yet" in page()
    Buyer(language="en").buy(developers_web, 1)
    assert send_mails() == {"made": 1, "sent": 1}
    Buyer(language="ko", email="second@example.com").buy(developers_web, 2)
    assert send_mails() == {"made": 1, "sent": 1}
    newest = page()
    assert "second@example.com" in newest
    assert 'sandbox srcdoc="&lt;!doctype html&gt;' in newest
    assert "예매가 완료되었습니다" in newest
    oldest = re.findall(r'href="\?show=([^"]+)"', newest)[-1]
    shown = page(f"/dev/mail?show={oldest}")
    assert "Your reservation is confirmed" in shown
    assert "auto-generated" in shown
    for path in ("../ports.json", "%00", "nothing.eml"):
        assert developers_web.get(f"/dev/mail?show={path}").status == 404
    assert len(list(folder.iterdir())) == 2


def test_a_mail_server_of_the_developer_is_used_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert MAILBOX.items() <= _process_environment(tmp_path).items()
    monkeypatch.setenv("EMAIL_URL", "smtp://127.0.0.1:1025")
    assert not MAILBOX.keys() & _process_environment(tmp_path).keys()


def test_the_page_is_there_in_development_only() -> None:
    production = {
        "DEBUG": "false",
        "SECRET_KEY": "0123456789" * 6,
        "INTERNAL_API_TOKEN": "a-token-of-more-than-24-characters",
    }
    code = "from django.urls import resolve; print(resolve('/dev/mail').func.__name__)"
    assert manage("shell", "--no-imports", "-c", code).stdout.strip() == "mailbox"
    assert manage("shell", "--no-imports", "-c", code, **production).stdout.strip() != "mailbox"
    assert mailbox.directory().name == "mail"
    assert os.environ["DEBUG"] == "true"
