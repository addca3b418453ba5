"""`make check` refuses names that the glossary has retired, and leaves English prose alone."""

from pathlib import Path

import pytest

from devtools.retired_names import NAMES, find_retired_names, tracked_files

PLANTED = {
    "cache.py": "class Remembering:",
    "locks.py": "await seats.locks.let_go_and_tell(seats)",
    "limits.py": "MOST_SEATS = 4",
    "imports.py": "from kernel.redis_connection import client",
    "keys.lua": "redis.call('SADD', 'events:touched', event_id)",
    "alerts.yml": "expr: sum(ticketservice_jobs_total)",
    "settings.md": "Set `SOCKETS_PER_ADDRESS` to 100.",
}
CLEAN = """
The most popular seats are taken first; the largest hall has room for all, and told: nothing else.
MAX_SEATS = 4; ask(all); refused = True; outcome = "rejected"; run_in_thread(function); queue:{id}
"""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_name_is_found_with_its_line(tmp_path: Path, name: str) -> None:
    planted = tmp_path / name
    planted.write_text(f"\n{PLANTED[name]}\n")
    (found,) = find_retired_names([planted])
    assert found.startswith(f"{planted}:2: ")


def test_prose_and_current_names_are_not_found(tmp_path: Path) -> None:
    clean = tmp_path / "clean.py"
    clean.write_text(CLEAN)
    assert list(find_retired_names([clean])) == []


def test_no_replacement_is_itself_retired(tmp_path: Path) -> None:
    replacements = tmp_path / "replacements.md"
    replacements.write_text("\n".join(NAMES.values()))
    assert list(find_retired_names([replacements])) == []


def test_the_code_is_among_the_files_that_are_searched() -> None:
    names = {path.name for path in tracked_files()}
    assert {"settings.py", "alerts.yml", "runbook.md", "check_in.lua"} <= names
