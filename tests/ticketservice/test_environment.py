"""The environment: every variable is described, and a configuration that can not work does not start."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.harness import ROOT
from tests.support.production import last_line, python, start

pytestmark = pytest.mark.slow

SETTINGS = ast.parse((ROOT / "ticketservice" / "settings.py").read_text())
# Read by code, but the system's own.
NOT_OURS = {"PATH", "NO_COLOR"}


# --- .env.example -----------------------------------------------------------------------------------------------------


def described() -> dict[str, str]:
    """The variables of .env.example with the values it shows."""
    return dict(re.findall(r"^#?([A-Z][A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def read_by_settings() -> Iterator[tuple[str, str | None]]:
    """The variables that settings.py reads, with their defaults where those are plain values."""
    for node in ast.walk(SETTINGS):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("env")), args=[ast.Constant(str(name)), *_]):
                defaults = [keyword.value for keyword in node.keywords if keyword.arg == "default"]
                yield name, _plain(defaults[0]) if defaults else None


def _plain(default: ast.expr) -> str | None:
    match default:
        case ast.Constant(bool(value)):
            return str(value).lower()
        case ast.Constant(int(value) | str(value)):
            return str(value)
        case ast.List(elts=[]) | ast.Constant(None):
            return ""
    return None


def read_by_processes() -> Iterator[tuple[str, str]]:
    """The variables of the Procfile and of docker-compose.yml, with their defaults."""
    for file in ("Procfile", "docker-compose.yml"):
        yield from re.findall(r"\$\{([A-Z_]+)(?::[-?]([^}]*))?\}", (ROOT / file).read_text())


def read_by_commands() -> Iterator[str]:
    for file in [ROOT / "manage.py", *(ROOT / "kernel").rglob("*.py"), *(ROOT / "devtools").rglob("*.py")]:
        text = file.read_text()
        yield from re.findall(r"""os\.environ(?:\.get\(|\[)["']([A-Z_]+)["']""", text)
        yield from re.findall(r"""["']([A-Z_]+)["'] (?:not )?in os\.environ""", text)


def test_every_variable_is_described_and_every_described_one_is_read() -> None:
    read = {name for name, _ in read_by_settings()} | {name for name, _ in read_by_processes()} | {*read_by_commands()}

    assert len(read) > 30
    assert described().keys() == read - NOT_OURS


def test_the_described_defaults_are_the_real_ones() -> None:
    shown = described()
    real = {name: default for name, default in read_by_settings() if default is not None}
    real |= dict(re.findall(r"\$\{(W\w+|BEAT\w+):-([^}]*)\}", (ROOT / "Procfile").read_text()))

    assert {name: shown[name] for name in real} == real


# --- Starting ---------------------------------------------------------------------------------------------------------


def test_starts_with_production_settings() -> None:
    started = start()

    assert started.returncode == 0, started.stderr


def test_realtime_loads_only_what_it_needs() -> None:
    unneeded = (
        "celery.app amqp daphne twisted rest_framework.views drf_spectacular.openapi reservations.admin seats.views jwt"
    )
    looks = f"import sys, ticketservice.asgi; print([name for name in {unneeded.split()} if name in sys.modules])"
    started = python("-c", looks)

    assert started.stdout == "[]\n", started.stderr


def a_public_key() -> str:
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().replace("\n", "\\n")


BELIEVED = {"AUTH_SERVICE_URL": "https://auth.example.org", "JWT_SECRET": "s" * 40, "JWT_PUBLIC_KEY": a_public_key()}


@pytest.mark.long
@pytest.mark.parametrize("name", BELIEVED)
def test_does_not_start_when_nobody_could_sign_in(name: str) -> None:
    refused = start(without=("JWT_SECRET",))

    assert refused.returncode != 0
    assert name in last_line(refused)
    without = ("JWT_SECRET",) if name != "JWT_SECRET" else ()
    assert start(without=without, **{name: BELIEVED[name]}).returncode == 0


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"])
def test_does_not_start_without(name: str) -> None:
    refused = start(without=(name,))

    assert refused.returncode != 0
    assert name in last_line(refused)


@pytest.mark.long
@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET", "INTERNAL_API_TOKEN"])
@pytest.mark.parametrize("value", ["development-only-secret-key", "changeme", "secret"])
def test_does_not_start_with_a_default_secret(name: str, value: str) -> None:
    refused = start(**{name: value})

    assert refused.returncode != 0
    assert name in last_line(refused)
    assert start(**{name: value}, DEBUG="true").returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STATEMENT_TIMEOUT_MS", "5s"),
        ("QUEUE_ADMISSIONS_PER_SECOND", "many"),
        ("DEBUG", "perhaps"),
        ("REDIS_URL", "localhost:6379"),
        ("DATABASE_URL", "mysql://localhost/ticketservice"),
        ("DATABASE_URL", "postgresql://localhost"),
        ("AUTH_SERVICE_URL", "auth.example.org"),
        ("JWT_PUBLIC_KEY", "not a key"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "LOUD"),
        ("SECRET_KEY", ("one-too-short-" * 4)[:49]),
        ("SECRET_KEY", "a" * 60),
        ("MAX_SEATS_PER_RESERVATION", "0"),  # as the checks of the deployment find it
        ("QUEUE_THRESHOLD", "-5"),
        ("PROMETHEUS_MULTIPROC_DIR", "/dev/null/metrics"),
    ],
)
def test_does_not_start_with_a_value_that_can_not_be(name: str, value: str) -> None:
    refused = start(**{name: value})

    assert refused.returncode != 0
    assert "ImproperlyConfigured" in last_line(refused)
    assert name in last_line(refused)


PRINT = "from django.conf import settings; print([getattr(settings, name) for name in {!r}])"


def settings_of(*names: str, **changed: str) -> Any:
    shown = python("-c", PRINT.format(names), DJANGO_SETTINGS_MODULE="ticketservice.settings", **changed)
    assert shown.returncode == 0, shown.stderr
    return ast.literal_eval(shown.stdout)


def test_a_list_may_have_spaces_after_its_commas() -> None:
    names = ("ALLOWED_HOSTS", "CORS_ALLOWED_ORIGINS", "CSRF_TRUSTED_ORIGINS")
    shown = settings_of(
        *names,
        ALLOWED_HOSTS="a.example, b.example ,",
        CORS_ORIGINS=" https://a.example,  https://b.example",
        CSRF_TRUSTED_ORIGINS="https://a.example,\thttps://b.example",
    )
    origins = ["https://a.example", "https://b.example"]
    assert shown == [["a.example", "b.example"], origins, origins]


def test_https_is_promised_for_this_host_alone() -> None:
    names = ("SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD")
    assert settings_of(*names) == [31_536_000, False, False]


def test_origins_that_may_write_may_use_every_method_that_writes() -> None:
    from ticketservice.urls import router

    used = {method.upper() for pattern in router.urls for method in pattern.callback.actions} | {"HEAD", "OPTIONS"}
    (allowed,) = settings_of("CORS_ALLOW_METHODS", CORS_ORIGINS="https://a.example")
    assert set(allowed) == used
    assert set(settings_of("CORS_ALLOW_METHODS")[0]) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.long
def test_the_start_says_whether_browsers_of_other_origins_can_buy() -> None:
    said = "browsers on pages of other origins can read, but not buy"
    assert said in start().stderr
    assert said not in start(CORS_ORIGINS="https://a.example").stderr


def test_the_deployment_check_passes_with_production_settings() -> None:
    checked = python("manage.py", "check", "--deploy", "--fail-level", "WARNING")

    assert checked.returncode == 0, checked.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"MAX_SEATS_PER_RESERVATION": "0"}, "ticketservice.E001"),
        ({"RESERVATION_SECONDS": "0"}, "ticketservice.E002"),
        ({"STATEMENT_TIMEOUT_MS": "1000", "LOCK_TIMEOUT_MS": "2000"}, "ticketservice.E003"),
        ({"SOLD_SEAT_WIRE_VALUE": "gone"}, "ticketservice.E004"),
        ({"QUEUE_THRESHOLD": "-1"}, "ticketservice.E010"),
        ({"QUEUE_IDLE_SECONDS": "0"}, "ticketservice.E014"),
        ({"MAX_TICKETS_PER_BUYER": "0"}, "ticketservice.E020"),
        ({"RELOCK_SECONDS": "-1"}, "ticketservice.E021"),
        ({"UNPAID_HOLD_SECONDS": "299"}, "ticketservice.E022"),
        ({"UNPAID_HOLD_WINDOW_SECONDS": "900"}, "ticketservice.E022"),
        ({"INTERNAL_API_TOKEN": ""}, "ticketservice.W001"),
        ({"INTERNAL_API_TOKEN": "short"}, "ticketservice.W002"),
    ],
)
def test_the_deployment_check_finds(changed: dict[str, str], problem: str) -> None:
    checked = python("manage.py", "check", "--deploy", "--fail-level", "WARNING", **changed)

    assert checked.returncode != 0
    assert problem in checked.stderr
