"""Finds retired names in the tracked files; `make check` runs it.

docs/glossary.md says which words are used instead. Only identifiers, modules, keys in Redis, settings and metrics are
listed, so that English prose and what the wire contract fixes are never hit. A pattern matches whole identifiers.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".py", ".lua", ".js", ".yml", ".yaml", ".md", ".json", ".html", ".toml", ".example", ".template", ".conf"}
# Recorded behaviour, history, and this list with its test.
EXCLUDED_FOLDERS = ("tests/contract/", "docs/adr/")
EXCLUDED_FILES = ("CHANGELOG.md", "retired_names.py")

# Retired pattern: the name to use instead.
NAMES: dict[str, str] = {
    # The response cache and the fast path
    r"Remembering|remembering_\w+|MadeOf|made_of|each_time": "ResponseCache, CacheDependency, on_hit",
    r"DirectRequest|_JUDGES|went_hot|hot_view": "FastRequest, _POLICY_ATTRIBUTES, fast_path",
    r"ask_all|Batcher\.ask": "Batcher.submit, execute_many",
    r"compress_large|read_to_the_end|LEAST_COMPRESSED": "compress_responses, drain_request_body, MIN_COMPRESSED_BYTES",
    # Redis, PostgreSQL, threads
    r"attempt_or_owe|flush_if_deferred|_owed": "execute_or_defer, flush",
    r"was_away_since": "was_unavailable_since",
    r"in_thread": "run_in_thread",
    r"give_connection_back": "release_connection",
    # HTTP, errors, the OpenAPI document
    r"by_the_work|class Refused|errors\.Refused": "result_envelope, DomainError",
    r"wants_problem|logged_response_to": "accepts_problem_json, render_and_log_error",
    r"safe_only|AlwaysJSON|content_policy": "require_safe, JSONOnlyNegotiation, content_security_policy",
    r"refused_with|responses_of": "raises, error_responses",
    r"refuse_impossible_settings|refuse_errors_of": "raise_for_invalid_settings, raise_check_errors",
    # Observability and tasks
    r"chosen_id|RequestIdFilter|current_job_id": "accept_request_id, RequestContextFilter, current_task_id",
    r"OfThisMachine|read_at_scrape|FaultsOfClients": "MachineCollector, register_source, ClientErrorFilter",
    # Live updates
    r"may_speak|SocketsFull|tell_all|hear_all": "allow_frame, ConnectionQuota, publish",
    # The waiting room
    r"AtTheDoor|look_after|_knowing_the_policy|LotNeeded|audit_line|put_policy": "AdmissionGuardedScript, activate_event",
    # Seats and reservations
    r"let_go_and_tell|told_key|tell_stock|tell_status|take_touched_events": "release_and_publish, publish_stock",
    r"set_free|SeatKnownTaken|refuse_too_many": "publish_released, SeatTakenCached, check_seat_limit",
    # The admin and the legacy import
    r"StaffMayLook|WhyForm": "StaffReadOnlyMixin, ReasonMixin",
    r"moving_in|move_in_from": "legacy_import",
    # Modules
    r"kernel\.(remembering|direct|together|prepared|database|redis_connection|news|outbox|refusals|scraping|jobs)": "docs",
    r"kernel\.(limits|sockets|engineio|embedded|processes|values|admin_site|logs)": "docs/architecture.md",
    r"kernel\.tasks\.processes|queueing\.followers|seats\.(auditing|invariants|sales|moving_in)": "docs/architecture.md",
    # Scripts and keys in Redis
    r"(room|visit|follow|put_policy|audit_line|take|let_go|news|count)\.lua": "docs/redis.md",
    r"(told|taken):\{\w*\}|events:touched|queue:kept\w*": "published:, rejected:, events:dirty, queue:grace",
    # Settings
    r"QUEUE_IDLE_INSIDE_SECONDS|SOCKETS_PER_\w+": "QUEUE_ACTIVE_IDLE_SECONDS, WEBSOCKET_MAX_PER_*",
    r"(MOST|LONGEST|LARGEST)_[A-Z_]+": "MAX_*",
    # Metrics
    r"ticketservice_(live_sockets|jobs_total|job_seconds|refusals_total)\w*": "docs/operations.md",
}
_PATTERNS = {re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"): instead for pattern, instead in NAMES.items()}


def find_retired_names(paths: Iterable[Path]) -> Iterator[str]:
    """Yield `file:line: name (use ...)` for each retired name. Files that are not text of ours are skipped."""
    for path in paths:
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for pattern, instead in _PATTERNS.items():
                if match := pattern.search(line):
                    yield f"{path}:{number}: {match[0]} (use {instead})"


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return [ROOT / name for name in listed.stdout.split("\0") if _is_searched(name)]


def _is_searched(name: str) -> bool:
    return bool(name) and not name.startswith(EXCLUDED_FOLDERS) and not name.endswith(EXCLUDED_FILES)


def main() -> None:
    found = list(find_retired_names(tracked_files()))
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
