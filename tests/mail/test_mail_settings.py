"""Settings of mail: a URL for everything, and a process that cannot send with its settings does not start."""

import pytest

from tests.support.production import last_line, python, start

pytestmark = pytest.mark.slow

SHOW = "from django.conf import settings as s; print(s.EMAIL_BACKEND, s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_HOST_USER,"
SHOW += " s.EMAIL_HOST_PASSWORD, s.EMAIL_USE_TLS, s.EMAIL_USE_SSL, s.MAIL_ENABLED)"


def shown(**environment: str) -> str:
    done = python("-c", SHOW, DJANGO_SETTINGS_MODULE="ticketservice.settings", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("smtp://mail.example.org", "mail.smtp.SMTPBackend mail.example.org None None None False False True"),
        (
            "smtp+tls://user%40example.org:p%3Aw@mail.example.org:587",
            "mail.smtp.SMTPBackend mail.example.org 587 user@example.org p:w True False True",
        ),
        ("smtp+ssl://u:p@mail.example.org:465", "mail.smtp.SMTPBackend mail.example.org 465 u p False True True"),
    ],
)
def test_a_url_names_the_mail_server(url: str, settings: str) -> None:
    assert shown(EMAIL_URL=url) == settings


def test_another_back_end_can_be_named_and_without_either_mail_is_off() -> None:
    console = "django.core.mail.backends.console.EmailBackend"
    assert shown(EMAIL_BACKEND=console).startswith(f"{console} ")
    assert shown(EMAIL_BACKEND=console).endswith(" True")
    assert shown().startswith("django.core.mail.backends.dummy.EmailBackend ")
    assert shown().endswith(" False")


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"EMAIL_URL": "smtp://127.0.0.1"}, "MAIL_FROM must be an e-mail address"),
        ({"EMAIL_URL": "smtp://127.0.0.1", "MAIL_FROM": "Tickets"}, "MAIL_FROM must be an e-mail address"),
        ({"EMAIL_URL": "smtp://127.0.0.1", "MAIL_FROM": "a@example.org\nBcc: b@example.org"}, "MAIL_FROM must be"),
        ({"EMAIL_URL": "pigeon://u:secret@example.org"}, "EMAIL_URL is not a URL of a mail server"),
        ({"EMAIL_URL": "mail.example.org:587"}, "EMAIL_URL is not a URL of a mail server"),
        ({"EMAIL_URL": "smtp+tls://:587"}, "EMAIL_URL is not a URL of a mail server"),
        ({"EMAIL_URL": "smtp+tls://u:secret@example.org:x"}, "EMAIL_URL is not a URL of a mail server"),
        ({"MAIL_REPLY_TO": "nobody"}, "MAIL_REPLY_TO must be an e-mail address"),
        ({"MAIL_RESERVATION_URL": "javascript:alert(1)"}, "MAIL_RESERVATION_URL must look like"),
        ({"MAIL_RETENTION_DAYS": "0"}, "MAIL_RETENTION_DAYS must be from 1"),
        ({"EMAIL_TIMEOUT": "0"}, "EMAIL_TIMEOUT must be from 1"),
    ],
)
def test_settings_that_cannot_work_do_not_start(environment: dict[str, str], problem: str) -> None:
    started = start(**environment)
    assert started.returncode != 0
    assert problem in last_line(started)
    assert "secret@" not in started.stderr
    assert "u:secret" not in started.stderr
