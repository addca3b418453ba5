"""The documents say what the code does, as far as that can be compared."""

import importlib
import json
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from kernel.errors import DomainError
from kernel.http.problems import HTTP_STATUS
from queueing import metrics, serializers, store
from queueing.selectors import DEFAULTS
from tests.support.harness import ROOT, Api, Database, new_user, token

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "ticketservice/openapi.md"]
APPS = [
    "kernel",
    "contacts",
    "outbox",
    "events",
    "tickets",
    "queueing",
    "seats",
    "reservations",
    "gateway",
    "mail",
    "shop",
]
PACKAGES = [*APPS, "demo", "legacy_import", "devtools", "ticketservice", "bench", "crowd"]
# Refusals and failures that are no classes of ours.
NOT_CLASSES = {("METHOD_NOT_ALLOWED", 405), ("UNSUPPORTED_MEDIA_TYPE", 415), ("INTERNAL_ERROR", 500)}


def refusals(base: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for refusal in base.__subclasses__():
        yield refusal
        yield from refusals(refusal)


@pytest.fixture(autouse=True, scope="module")
def every_refusal_is_imported() -> None:
    for file in [path for app in APPS for path in (ROOT / app).rglob("*.py") if "(DomainError)" in path.read_text()]:
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
        if refusal.code != DomainError.code:  # a base class
            shape = ("second" if refusal.result_envelope else "first") + (", code" if refusal.shows_code else "")
            real[refusal.code, HTTP_STATUS[refusal.kind]] = shape

    assert len(real) > 30
    assert {key: shape for key, shape in shown.items() if key not in NOT_CLASSES} == real
    assert shown.keys() >= NOT_CLASSES
    assert f"`{DomainError.code}`" in (ROOT / "docs/errors.md").read_text()


def test_every_key_of_an_event_is_described() -> None:
    """Those that the code makes with `tagged_key`."""
    code = "\n".join(file.read_text() for app in APPS for file in (ROOT / app).rglob("*.py"))
    templates = set(re.findall(r'tagged_key\(\s*"([^"]+)"', code))
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_anchors_exist(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text())
    dead = [
        (path, anchor) for path, anchor in links if anchor not in anchors(document.parent / path if path else document)
    ]
    assert dead == []


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings, and those that are named."""
    text = document.read_text()
    headings = (
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a name="([^"]+)"', text))


# --- Names in backticks -----------------------------------------------------------------------------------------------

FILE = re.compile(r"[\w/.-]+\.(py|lua|js|css|html|c|sql|json|toml|txt|in|ya?ml|md|conf|template)")
FILES_OF_READERS = {"check_draw.py", "draw.json", "earlier.json"}
NAMES_OF_OTHERS = {code for code, _ in NOT_CLASSES} | {"MALLOC_ARENA_MAX", "PR_SET_PDEATHSIG", "wait_event_type"}
EXAMPLES = {"test_a_seat_of_another_event_is_not_found", "tickets.example.org"}


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in map(Path, listed.splitlines()) if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def paths(tracked: list[Path]) -> set[str]:
    """Files and folders, and the ends of their paths: for `seats/locks.py` also `locks.py`."""
    every = {path for file in tracked for path in (file, *file.parents)}
    return {"/".join(path.parts[start:]) for path in every for start in range(len(path.parts))}


@pytest.fixture(scope="module")
def words(tracked: list[Path]) -> set[str]:
    """What occurs in code, settings and deployment; metrics with the suffix that the library appends."""
    code = [
        path
        for path in tracked
        if path.parts[0] not in ("docs", "tests") and path.suffix not in (".md", ".mo", ".po", ".png")
    ]
    found = {word for path in code for word in re.findall(r"\w+", (ROOT / path).read_text())}
    return found | {f"{word}_total" for word in found}


def quoted(document: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_exist(document: Path, paths: set[str]) -> None:
    folders = {path for path in paths if "/" not in path and (ROOT / path).is_dir()}
    named = [name for name in quoted(document) if FILE.fullmatch(name) or name.partition("/")[0] in folders]

    assert [name for name in named if name.rstrip("/") not in paths | folders | FILES_OF_READERS] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_their_contents_exist(document: Path) -> None:
    columns = {f"{model._meta.db_table}.{field.column}" for model in apps.get_models() for field in model._meta.fields}
    dotted = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+")
    named = {name for name in quoted(document) if dotted.fullmatch(name) and not FILE.fullmatch(name)}

    assert [name for name in named - columns - EXAMPLES if not resolves(name)] == []


def resolves(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers_exist(document: Path, words: set[str]) -> None:
    """Names like `reserve_seats`, `SeatLocks` and `RESERVATION_SECONDS`, also as parts of dotted ones."""
    dotted = [name for name in quoted(document) if re.fullmatch(r"[\w.]+", name) and not FILE.fullmatch(name)]
    named = {part for name in dotted for part in name.split(".") if re.search(r"[a-z][A-Z]|[a-zA-Z]_[a-zA-Z]", part)}

    assert named - words - NAMES_OF_OTHERS - EXAMPLES == set()


# --- Decisions --------------------------------------------------------------------------------------------------------


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))]

    assert numbers == list(range(1, len(numbers) + 1))


# --- The waiting room -------------------------------------------------------------------------------------------------


def test_every_key_of_the_waiting_room_is_described() -> None:
    described = re.sub(r"\{\w+\}", "{}", (ROOT / "docs/redis.md").read_text())
    keys = [
        *store.KEY_TEMPLATES.values(),
        *store.CLEARED_KEY_TEMPLATES.values(),
        store.ACTIVE_EVENTS,
        store.COUNTED_EVENTS,
    ]

    assert len(keys) >= 15
    assert [key for key in keys if not re.search(rf"^\| `{re.escape(key)}`", described, re.MULTILINE)] == []


def test_every_field_of_the_waiting_room_s_hashes_is_described() -> None:
    described = (ROOT / "docs/redis.md").read_text()
    scripts = "\n".join(file.read_text() for file in (ROOT / "queueing/lua").glob("*.lua"))
    known = set(re.findall(r"\b(?:state|policy)\.(\w+)", scripts))
    counted = set(re.findall(r"count\('(\w+:?)'?", scripts))

    assert len(known) > 20
    assert len(counted) >= 5
    assert {field for field in known | counted if f"`{field}" not in described} == set()


def test_the_policy_is_described_with_its_defaults_and_bounds() -> None:
    text = (ROOT / "docs/waiting-room.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|(?: `(\w+)`)? \| ([^|]*)\|", text, re.MULTILINE)
    real = {}
    for name, field in serializers.PolicyChangesSerializer().fields.items():
        setting = DEFAULTS.get(serializers.POLICY_NAMES[name], "")
        default = getattr(settings, setting) if setting else {"isPaused": False, "opensAt": None}[name]
        least, most = getattr(field, "min_value", None), getattr(field, "max_value", None)
        bounds = "" if least is None else f"{least:,} - {most:,}"
        real[name] = (json.dumps(int(default) if isinstance(default, float) else default), setting, bounds)

    assert {name: (default, setting, bounds.strip()) for name, default, setting, bounds in rows} == real
    example = (ROOT / ".env.example").read_text()
    assert [f"#{s}={d}" for d, s, _ in real.values() if s and f"#{s}={d}\n" not in example] == []
    (rebuild,) = re.findall(r"^#QUEUE_REBUILD_SECONDS=(\d+)$", example, re.MULTILINE)  # the tests set another
    assert f"`QUEUE_REBUILD_SECONDS` ({rebuild})" in text


def test_the_metrics_of_the_waiting_room_are_described() -> None:
    described = re.findall(
        r"^\| `(\w+)` \| (gauge|counter|histogram) \|", (ROOT / "docs/waiting-room.md").read_text(), re.MULTILINE
    )
    real = [
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in metrics.WaitingRooms._families().values()
    ]

    assert described == real


def test_examples_of_the_waiting_room_have_the_fields_of_real_answers(web: Api, world: Database) -> None:
    text = (ROOT / "docs/waiting-room.md").read_text()
    examples = {frozenset(json.loads(example)) for example in re.findall(r"```json\n(.*?)```", text, re.DOTALL)}
    headers = {"Authorization": f"Bearer {token(new_user(), role='admin')}"}
    event = world.add_event()
    first, second, third = new_user(), new_user(), new_user()

    answers = [
        web.post(f"/queue/admin/policy/{event}", {"threshold": 1}, headers=headers),
        web.post(f"/queue/check/{event}", user=first),
        web.post(f"/queue/check/{event}", user=second),
        web.get(f"/queue/status/{event}", user=third),
        web.get(f"/queue/admin/{event}", headers=headers),
        web.post(f"/queue/admin/clear/{event}", headers=headers),
        web.post(f"/queue/admin/policy/{event}", {"opensAt": "2100-01-01T00:00:00Z"}, headers=headers),
        web.post(f"/queue/check/{event}", user=first),
        web.get(f"/queue/draw/{event}"),
    ]
    assert {answer.status for answer in answers} == {200}
    fields = [frozenset(answer.json) for answer in answers]
    assert examples == {*fields[1:], fields[0], fields[-1] | {"participants"}}
    # Of status and heartbeat it is said that they have the same fields, and `status`.
    for user, checked in ((first, fields[7]), (third, fields[3])):
        for answer in (web.get(f"/queue/status/{event}", user=user), web.post(f"/queue/heartbeat/{event}", user=user)):
            assert frozenset(answer.json) == checked | {"status"}
