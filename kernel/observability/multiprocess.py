"""Metrics of several processes: each writes its own files in a shared directory, and a scrape adds them up.

prometheus_client decides at import time whether it counts in files. That is why `share_metrics` must be called before
Django loads the apps, and why this module does not import prometheus_client at the top.
"""

import fcntl
import hashlib
import logging
import os
import struct
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from prometheus_client import Metric

logger = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client
ARCHIVE_PID = 0  # the process id under which the counts of ended processes are kept
_SUMS = ("counter", "histogram", "summary")
_MOST_RECENT = "gauge_mostrecent"
_UNREADABLE = (OSError, struct.error, RuntimeError, ValueError)


def default_directory(service: str) -> Path:
    """Return the directory of a service, one for each user. `service` is any text that identifies it on this machine."""
    name = f"ticketservice-{os.geteuid()}-{hashlib.sha256(service.encode()).hexdigest()[:12]}"
    memory = Path("/dev/shm")  # noqa: S108 - `prepare` checks the owner
    return (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())) / name


def share_metrics(directory: Path) -> None:
    """Make this process count in files. Call it before anything imports prometheus_client.

    If that is imported already (by runserver, which is a single process) it goes on counting in memory.
    """
    if "prometheus_client" not in sys.modules:
        os.environ[VARIABLE] = str(directory)  # before `prepare`, which imports prometheus_client
        prepare(directory)


def counts_in_files() -> bool:
    return VARIABLE in os.environ  # as prometheus_client decides at import time


def prepare(directory: Path) -> None:
    """Create the directory, and merge the files of ended processes into one.

    Their counts are kept for as long as any process of the service is alive, since to Prometheus a counter that decreases
    is one that was reset. If none is alive, all counters start at zero. Raises ImproperlyConfigured.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != os.geteuid() or not os.access(directory, os.W_OK):
            raise PermissionError("it belongs to another user")
        with _locked(directory):
            _merge_ended(directory)
    except OSError as error:
        raise ImproperlyConfigured(
            f"Metrics cannot be written to {directory} ({error}). Set {VARIABLE} to a directory that this user owns, the"
            " same one for all processes of this machine."
        ) from error


def read(directory: Path) -> "Iterable[Metric]":
    """Return the metrics of all processes.

    Raises what prometheus_client raises if the directory is gone or a file is just being created; then the next scrape
    succeeds.
    """
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    with _locked(directory):
        for pid in {pid for _, _, pid in _files(directory) if _is_dead(pid)}:
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]  # drops its live gauges
        return MultiProcessCollector(None, str(directory)).collect()  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Exclude reading and merging from each other: counts would be read twice while they are moved."""
    with (directory / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _files(directory: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield each file with its kind (`counter`, `gauge_livesum`, ...) and the id of the process that writes it."""
    for file in sorted(directory.glob("*.db")):
        kind, _, pid = file.stem.rpartition("_")
        if pid.isdecimal():
            yield file, kind, int(pid)


def _merge_ended(directory: Path) -> None:
    files = list(_files(directory))
    ended = [file for file in files if file[2] == os.getpid() or _is_dead(file[2])]  # our own id may be a reused one
    any_alive = len(ended) < len(files)
    for file, kind, pid in ended:
        if any_alive and pid == ARCHIVE_PID:
            continue
        if any_alive and kind in (*_SUMS, _MOST_RECENT):
            _archive(directory, kind, file)
        file.unlink()


def _archive(directory: Path, kind: str, file: Path) -> None:
    """Add the values of a file to the archive. prometheus_client itself never deletes files."""
    from prometheus_client.mmap_dict import MmapedDict

    try:
        values = list(MmapedDict.read_all_values_from_file(str(file)))  # type: ignore[no-untyped-call]
    except _UNREADABLE as error:  # its process was killed while it was writing
        logger.warning("metrics in %s cannot be read: %s", file, error)
        return
    archive = MmapedDict(str(directory / f"{kind}_{ARCHIVE_PID}.db"))  # type: ignore[no-untyped-call]
    for key, value, timestamp, _ in values:
        archived, archived_at = archive.read_value(key)  # type: ignore[no-untyped-call]
        if kind in _SUMS:
            archive.write_value(key, archived + value, 0.0)  # type: ignore[no-untyped-call]
        elif timestamp >= archived_at:
            archive.write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
    archive.close()  # type: ignore[no-untyped-call]


def _is_dead(pid: int) -> bool:
    """Whether the process has ended, including one that its parent has not waited for (a zombie)."""
    # granian may start the next worker before it has waited for the last one.
    if pid == ARCHIVE_PID:
        return True
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
