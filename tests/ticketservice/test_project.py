"""What the project says about itself in more than one place agrees: version, packages, the lists of documents."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devtools.retired_names import tracked_files
from tests.support.harness import ROOT, Api

pytestmark = pytest.mark.slow

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
DOCS = ROOT / "docs"
ADRS = sorted((DOCS / "adr").glob("[0-9]*.md"))
LOCKS = ["requirements", "requirements-dev"]
# They come with requirements-dev.txt; nothing of them is in the image.
FOR_DEVELOPMENT = {"tests", "bench", "crowd", "docs", "devtools"}
DEVELOPMENT_MODULES = {"devtools/embedded.py"}  # production never imports it


# --- The version ------------------------------------------------------------------------------------------------------


def test_the_version_stands_in_one_place_and_is_shown_everywhere(web: Api) -> None:
    assert settings.VERSION == VERSION
    assert web.get("/api/schema").json["info"]["version"] == VERSION
    assert yaml.safe_load((DOCS / "asyncapi.yaml").read_text())["info"]["version"] == VERSION
    manifests = "".join(path.read_text() for path in (ROOT / "deploy/k8s").glob("*.yaml"))
    images = re.findall(r"image: (ticketservice[\w-]*):(\S+)", manifests)
    assert len(images) >= 6
    assert {version for _, version in images} == {VERSION}


def test_the_changelog_has_the_version_as_released_or_unreleased() -> None:
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    released = [version for version, date in headings[1:] if date]
    assert len(released) == len(headings) - 1, "a release without its date"
    assert not released or released[0] == VERSION


# --- English ---------------------------------------------------------------------------------------------------------


def test_no_sentence_begins_with_a_bare_who() -> None:
    """ "A client that ...", "callers ...", "whoever ..." instead."""
    begins = re.compile(r'(?:^\s*|"""|# |// |\* |[.;] )Who (?![^.]*\?)')
    texts = [
        path for path in tracked_files() if path.suffix in {".py", ".lua", ".js", ".md", ".html"} and path.is_file()
    ]
    assert len(texts) > 500
    assert [f"{path}: {line}" for path in texts for line in path.read_text().splitlines() if begins.search(line)] == []


# --- Packages ---------------------------------------------------------------------------------------------------------


def named(name: str) -> dict[str, Requirement]:
    """What requirements*.in asks for, the included file too."""
    found: dict[str, Requirement] = {}
    for line in (ROOT / f"{name}.in").read_text().splitlines():
        if line.startswith("-r "):
            found |= named(line.removeprefix("-r ").removesuffix(".in"))
        elif line and not line.startswith(("#", "-c ")):
            requirement = Requirement(line)
            key = canonicalize_name(requirement.name)
            requirement.extras |= found[key].extras if key in found else set()
            found[key] = requirement
    return found


def locked(name: str) -> dict[str, str]:
    """The versions in requirements*.txt."""
    text = (ROOT / f"{name}.txt").read_text()
    pins = re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), "a line without version or hash"
    return {canonicalize_name(package): version for package, version, _ in pins}


def needed(asked: Iterable[Requirement], python: str = "3.11.0") -> set[str]:
    """Those packages and what they need in turn, by what the installed ones say of themselves."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(one.name), extra) for one in asked for extra in ("", *one.extras)]
    environment = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    while waiting:
        package = waiting.pop()
        if package in found or package[0] == "async-timeout":
            found.add(package)  # for Pythons before 3.11.3 only, so that it need not be installed here
            continue
        found.add(package)
        for text in requires(package[0]) or ():
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({**environment, "extra": package[1]}):
                waiting += [(canonicalize_name(one.name), extra) for extra in ("", *one.extras)]
    return {name for name, _ in found}


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_is_what_make_lock_made_of_what_is_asked_for(name: str) -> None:
    asked, pins = named(name), locked(name)

    assert [str(one) for one in asked.values() if [part.operator for part in one.specifier] != ["=="]] == []
    assert {package: pins.get(package) for package in asked} == {
        package: str(one.specifier).removeprefix("==") for package, one in asked.items()
    }
    assert pins.keys() == needed(asked.values()), "run `make lock`"


def test_both_locks_have_the_same_versions() -> None:
    assert locked("requirements").items() <= locked("requirements-dev").items()


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_host_and_no_path(name: str) -> None:
    for ending in ("in", "txt"):
        assert (
            re.findall(r"://|--(?:extra-)?index-url|--find-links|(?<!\w)/\w+", (ROOT / f"{name}.{ending}").read_text())
            == []
        )


def test_what_is_imported_is_asked_for() -> None:
    """By the service in requirements.in, by tests and tools in requirements-dev.in."""
    brought_by = packages_distributions()
    ours = {path.name for path in ROOT.iterdir()} | {"manage"}
    missing = set()
    for file in ROOT.glob("*/**/*.py"):
        folder = file.relative_to(ROOT).parts[0]
        if folder.startswith(".") or folder == "staticfiles":
            continue
        development = folder in FOR_DEVELOPMENT or str(file.relative_to(ROOT)) in DEVELOPMENT_MODULES
        asked = named("requirements-dev" if development else "requirements")
        for module in imported(file) - ours - sys.stdlib_module_names:
            if not {canonicalize_name(name) for name in brought_by.get(module, ())} & asked.keys():
                missing.add((str(file.relative_to(ROOT)), module))
    assert missing == set()


def imported(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(file)}


def imported_names(file: Path) -> set[str]:
    """Dotted names of the modules that `file` imports, and of what it imports from them."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_no_test_module_is_imported() -> None:
    """What tests share is in tests/support, and fixtures are in conftest.py."""
    test_module = re.compile(r"\btests\.(.+\.)?(test_\w+|conftest)\b")
    files = [*(ROOT / "tests").rglob("*.py")]
    assert len(files) > 60
    assert {(file.name, name) for file in files for name in imported_names(file) if test_module.search(name)} == set()
    assert test_module.search("tests.kernel.test_health.scrape")
    assert not test_module.search("tests.support.harness.Api")


# --- Documents --------------------------------------------------------------------------------------------------------


def listed(index: Path) -> list[str]:
    return re.findall(r"^(?:- |\| )\[.+?\]\(([^)]+)\)", index.read_text(), re.MULTILINE)


def test_every_page_is_in_the_index_once() -> None:
    pages = [path.name for path in [*DOCS.glob("*.md"), *DOCS.glob("*.yaml")] if path.name != "README.md"]
    assert sorted(found for found in listed(DOCS / "README.md") if "/" not in found) == sorted(pages)


def test_every_decision_is_in_the_index_with_its_title_status_and_date() -> None:
    rows = []
    for adr in ADRS:
        title = re.match(r"# \d+\. (.+)\n\nStatus: (.+)\nDate: (.+)\n\n## ", adr.read_text())
        assert title, f"{adr.name} does not begin with title, `Status:` and `Date:`"
        assert re.fullmatch(r"Proposed|Accepted|Superseded by \[\d{4}\]\([\w.-]+\)", title[2]), adr.name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", title[3]), adr.name
        rows.append(f"| [{adr.name[:4]}]({adr.name}) | {title[1]} | {title[2]} | {title[3]} |")
    assert re.findall(r"^\| \[\d.*", (DOCS / "adr/README.md").read_text(), re.MULTILINE) == rows
    assert len(rows) > 10


# --- Forms of the forge -----------------------------------------------------------------------------------------------


def yaml_files() -> list[Path]:
    return [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]


@pytest.mark.parametrize("file", yaml_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_files_of_the_forge_are_yaml(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text()), dict)


def test_the_forge_runs_what_has_to_pass() -> None:
    jobs: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert ".ci/run" in [step.get("run") for job in jobs.values() for step in job["steps"]]


def test_hooks_run_the_project_s_own_programs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert (ROOT / hook["entry"].split()[0]).exists(), hook["entry"]


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)[0].split())
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == phony
