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
    from prometheus_client.values import ValueClass

    return bool(getattr(ValueClass, "_multiprocess", False))


def prepare(directory: Path) -> None:
    """Makes the directory, and tidies up what ended processes have left there.

    Their counts stay, in one file, as long as any process of the service lives: a counter that went back would look like
    a restart of all. If none lives, everything starts at zero. Raises ImproperlyConfigured.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != os.geteuid() or not os.access(directory, os.W_OK):
            raise PermissionError("it belongs to another user")
        with _locked(directory, fcntl.LOCK_EX):
            _tidy_up(directory)
    except OSError as error:
        raise ImproperlyConfigured(
            f"No metrics can be written to {directory} ({error}). Set {NAME} to a directory of this user, the same for"
            " all processes of this machine."
        ) from error


def read(directory: Path) -> "Iterable[Metric]":
    """What all processes have counted so far. Raises OSError when the directory is gone."""
    from prometheus_client.multiprocess import MultiProcessCollector

    with _locked(directory, fcntl.LOCK_SH):
        files = [str(file) for file, kind, pid in _files(directory) if not (_lives_on(kind) and _is_dead(pid))]
        try:
            return MultiProcessCollector.merge(files)  # type: ignore[no-any-return, no-untyped-call]
        except _UNREADABLE:  # being made just now, or left by a process that was killed while it wrote
            return MultiProcessCollector.merge(  # type: ignore[no-any-return, no-untyped-call]
                [file for file in files if _is_readable(file)]
            )


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    """Reading and tidying up exclude each other, or a count would be seen twice while it moves."""
    with (directory / "lock").open("ab") as lock:
        fcntl.flock(lock, how)
        yield


def _files(directory: Path) -> Iterator[tuple[Path, str, int]]:
    """Each file with its kind (`counter`, `gauge_livesum`, ...) and the process that writes it."""
    for file in sorted(directory.glob("*.db")):
        kind, _, pid = file.stem.rpartition("_")
        if pid.isdecimal():
            yield file, kind, int(pid)


def _tidy_up(directory: Path) -> None:
    left = [(file, kind) for file, kind, pid in _files(directory) if pid == os.getpid() or _is_dead(pid)]
    living = len(left) < len(list(_files(directory)))
    if living:
        for kind in (*_SUMS, _LATEST):
            _keep(directory, kind, [file for file, its in left if its == kind and not file.stem.endswith(f"_{NOBODY}")])
    for file, _ in left:
        if not (living and file.stem.endswith(f"_{NOBODY}")):
            file.unlink()


def _keep(directory: Path, kind: str, files: list[Path]) -> None:
    """Adds what stands in files to the file of the ended processes."""
    if not files:
        return
    from prometheus_client.mmap_dict import MmapedDict

    kept = MmapedDict(str(directory / f"{kind}_{NOBODY}.db"))  # type: ignore[no-untyped-call]
    for file in filter(_is_readable, files):
        for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            before, before_at = kept.read_value(key)  # type: ignore[no-untyped-call]
            if kind in _SUMS:
                kept.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
            elif timestamp >= before_at:
                kept.write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
    kept.close()  # type: ignore[no-untyped-call]


def _is_readable(file: str | Path) -> bool:
    from prometheus_client.mmap_dict import MmapedDict

    try:
        for _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            pass
    except _UNREADABLE as error:
        logger.warning("metrics in %s can not be read: %s", file, error)
        return False
    return True


def _lives_on(kind: str) -> bool:
    """Whether a gauge counts only while its process lives: open sockets and the like."""
    return kind.startswith("gauge_live")


def _is_dead(pid: int) -> bool:
    if pid == NOBODY:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Dead, while its parent does not know: the next worker may start before granian has asked how the last one ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
