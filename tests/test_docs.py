"""The documents say what the code does, as far as that can be compared."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.api import HTTP_STATUS
from kernel.errors import Refused
from tests.harness import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").rglob("*.md"))]
APPS = ["kernel", "events", "tickets", "queueing", "seats"]
# Refusals and failures that are no classes of ours.
NOT_CLASSES = {("METHOD_NOT_ALLOWED", 405), ("UNSUPPORTED_MEDIA_TYPE", 415), ("INTERNAL_ERROR", 500)}


def refusals(base: type[Refused] = Refused) -> Iterator[type[Refused]]:
    for refusal in base.__subclasses__():
        yield refusal
        yield from refusals(refusal)


@pytest.fixture(autouse=True, scope="module")
def every_refusal_is_imported() -> None:
    for file in [path for app in APPS for path in (ROOT / app).rglob("*.py") if "(Refused)" in path.read_text()]:
        importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def described_refusals() -> dict[tuple[str, int], str]:
    """Shape by code and status."""
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (\d{3})\b[^|]*\| ([^|]+) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    return {(code, int(status)): shape for code, status, shape in rows}


def test_every_refusal_is_described_as_it_is() -> None:
    shown = described_refusals()
    real = {}
    for refusal in refusals():
        if refusal.code != Refused.code:  # a base class
            shape = ("second" if refusal.by_the_work else "first") + (", code" if refusal.shows_code else "")
            real[refusal.code, HTTP_STATUS[refusal.kind]] = shape

    assert len(real) > 30
    assert {key: shape for key, shape in shown.items() if key not in NOT_CLASSES} == real
    assert shown.keys() >= NOT_CLASSES
    assert f"`{Refused.code}`" in (ROOT / "docs/errors.md").read_text()


def test_every_key_of_an_event_is_described() -> None:
    """Those that the code makes with `event_key`."""
    code = "\n".join(file.read_text() for app in APPS for file in (ROOT / app).rglob("*.py"))
    templates = set(re.findall(r'event_key\(\s*"([^"]+)"', code))
    described = re.sub(r"\{\w+\}", "{}", (ROOT / "docs/redis.md").read_text())

    assert len(templates) >= 5
    assert {template for template in templates if f"`{template}`" not in described} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_both_readmes_show_the_same_commands_and_links() -> None:
    english, korean = ((ROOT / name).read_text() for name in ("README.md", "README.ko.md"))
    blocks = re.compile(r"```.*?```", re.DOTALL)

    assert blocks.findall(english) == blocks.findall(korean)
    assert re.findall(r"\]\(((?!README)[^)]+)\)", english) == re.findall(r"\]\(((?!README)[^)]+)\)", korean)
    assert re.findall(r"^(#+) ", english, re.MULTILINE) == re.findall(r"^(#+) ", korean, re.MULTILINE)


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]

    assert numbers == list(range(1, len(numbers) + 1))
