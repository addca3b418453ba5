"""Metrics of several processes, added up: each writes files of its own into one directory, and a scrape reads them all.

prometheus_client decides when it is imported whether it counts in files. Therefore `share_metrics` is called before Django
loads the apps, and this module imports nothing of it at its top.
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

NAME = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own variable
NOBODY = 0  # the process id under which the counts of ended processes are kept
_SUMS = ("counter", "histogram", "summary")
_LATEST = "gauge_mostrecent"
_UNREADABLE = (OSError, struct.error, RuntimeError, ValueError)


def default_directory(service: str) -> Path:
    """One for each service and user of this machine. A container has a machine of its own."""
    name = f"ticketservice-{os.geteuid()}-{hashlib.sha256(service.encode()).hexdigest()[:12]}"
    memory = Path("/dev/shm")  # noqa: S108 - the name is nobody's secret, and `prepare` looks whose directory it is
    return (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())) / name


def share_metrics(directory: Path) -> None:
    """From here on this process counts in files. Call it before anything imports prometheus_client.

    Where that is imported already (runserver, which is one process) it goes on counting for itself.
    """
    if "prometheus_client" not in sys.modules:
        os.environ[NAME] = str(directory)  # first: what tidies up imports prometheus_client
        prepare(directory)


def counts_in_files() -> bool:
    return NAME in os.environ  # as prometheus_client decides it, and does not change its mind


def prepare(directory: Path) -> None:
    """Makes the directory, and tidies up what ended processes have left there.

    Their counts stay, in one file, as long as any process of the service lives: a counter that went back would look like
    a restart of all. If none lives, everything starts at zero. Raises ImproperlyConfigured.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != os.geteuid() or not os.access(directory, os.W_OK):
            raise PermissionError("it belongs to another user")
        with _locked(directory):
            _tidy_up(directory)
    except OSError as error:
        raise ImproperlyConfigured(
            f"No metrics can be written to {directory} ({error}). Set {NAME} to a directory of this user, the same for"
            " all processes of this machine."
        ) from error


def read(directory: Path) -> "Iterable[Metric]":
    """What all processes have counted so far.

    Raises what prometheus_client raises when the directory is gone, or a file in it is just being made: the next scrape
    finds it whole.
    """
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    with _locked(directory):
        for pid in {pid for _, _, pid in _files(directory) if _is_dead(pid)}:
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]  # its open sockets are closed
        return MultiProcessCollector(None, str(directory)).collect()  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Reading and tidying up exclude each other, or a count would be seen twice while it moves."""
    with (directory / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _files(directory: Path) -> Iterator[tuple[Path, str, int]]:
    """Each file with its kind (`counter`, `gauge_livesum`, ...) and the process that writes it."""
    for file in sorted(directory.glob("*.db")):
        kind, _, pid = file.stem.rpartition("_")
        if pid.isdecimal():
            yield file, kind, int(pid)


def _tidy_up(directory: Path) -> None:
    files = list(_files(directory))
    left = [found for found in files if found[2] == os.getpid() or _is_dead(found[2])]
    somebody_lives = len(left) < len(files)
    for file, kind, pid in left:
        if somebody_lives and pid == NOBODY:
            continue
        if somebody_lives and kind in (*_SUMS, _LATEST):
            _keep(directory, kind, file)
        file.unlink()


def _keep(directory: Path, kind: str, file: Path) -> None:
    """Adds what stands in a file to the file of the ended processes: prometheus_client itself lets files pile up."""
    from prometheus_client.mmap_dict import MmapedDict

    try:
        found = list(MmapedDict.read_all_values_from_file(str(file)))  # type: ignore[no-untyped-call]
    except _UNREADABLE as error:  # its process was killed while it wrote
        logger.warning("metrics in %s can not be read: %s", file, error)
        return
    kept = MmapedDict(str(directory / f"{kind}_{NOBODY}.db"))  # type: ignore[no-untyped-call]
    for key, value, timestamp, _ in found:
        before, before_at = kept.read_value(key)  # type: ignore[no-untyped-call]
        if kind in _SUMS:
            kept.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
        elif timestamp >= before_at:
            kept.write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
    kept.close()  # type: ignore[no-untyped-call]


def _is_dead(pid: int) -> bool:
    """Also while its parent does not know: the next worker may start before granian has asked how the last one ended."""
    if pid == NOBODY:
        return True
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
