"""Moving in: the old service's `public` tables come into this database, once. See docs/moving-in.md."""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from django.db import DatabaseError, transaction

from kernel.db.sql import fetch_all
from legacy_import import batches, staging, validation
from legacy_import.errors import CanNotMove
from legacy_import.progress import Progress
from legacy_import.report import say_findings, say_moved, say_source
from legacy_import.source import Source, reading
from legacy_import.tables import REFUSED

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    dsn: str
    is_dry_run: bool
    skips_refused: bool
    starts_over: bool
    batch: int  # rows in one transaction


def import_legacy(options: Options, *, say: Say, progress: Progress) -> None:
    """Moves, or goes on with a move that was interrupted; a finished one is left alone, and that is said.

    Raises CanNotMove. Nothing is then on sale that was not before, and what was moved stays for the next run.
    """
    try:
        with staging.only_one():
            if _is_prepared(options, say, progress):
                batches.move_batches(batch=options.batch, progress=progress)
                _finish(options.dsn, say)
    except (DatabaseError, psycopg.Error) as error:
        raise CanNotMove(f"PostgreSQL refused. The same command goes on where it was: {error}") from error


def _is_prepared(options: Options, say: Say, progress: Progress) -> bool:
    """Fills the stage, or looks whether an earlier one still counts. Whether there is something to move now."""
    known = staging.record()
    if known is not None and options.is_dry_run:
        raise CanNotMove("A move was begun. Run without --dry-run to go on with it.")
    if known is not None and options.starts_over:
        _take_back(known, say)
        known = None
    with reading(options.dsn) as source:
        if known is None:
            return _stage(source, options, say, progress)
        if known.source != source.name:
            raise CanNotMove(f"This database was moved into from {known.source}, not from {source.name}.")
        if known.finished_at is not None:
            say(f"Nothing to do: {known.source} was moved in, and verified, at {known.finished_at:%F %T %Z}.")
            return False
        say(f"Going on with {known.source}, as it was at {known.snapshot_at:%F %T %Z}.")
        _refuse_changed(source, known)
        staging.refuse_strangers()
        return True


def _stage(source: Source, options: Options, say: Say, progress: Progress) -> bool:
    """Fills the stage in one transaction, of which nothing stays unless the move may begin. Whether it may."""
    staging.refuse_what_is_there()
    with transaction.atomic():
        say_source(source, say)
        staging.fill(source, progress)
        refused = validation.refuse()
        say_findings(refused, say)
        if refused and not options.skips_refused:
            raise CanNotMove(
                "Nothing was written. Mend these rows in the old service, or leave them out: --skip-refused."
            )
        transaction.set_rollback(options.is_dry_run)
    if options.is_dry_run:
        say("Nothing was written.")
    return not options.is_dry_run


def _finish(dsn: str, say: Say) -> None:
    known = staging.record()
    with reading(dsn) as source:
        if known is not None:
            _refuse_changed(source, known)
    counted = fetch_all(f"SELECT table_name, count(DISTINCT place) AS rows FROM {REFUSED} GROUP BY 1", {})
    say_moved(batches.open_sale(), {table["table_name"]: table["rows"] for table in counted}, say)


def _refuse_changed(source: Source, known: staging.Record) -> None:
    """Raises CanNotMove when the old service goes on selling: what it sold since would be lost."""
    versions = source.versions()
    changed = [name for name in known.versions if known.versions[name] != versions.get(name)]
    if changed:
        raise CanNotMove(
            f"The old service has changed since {known.snapshot_at:%F %T %Z}: {', '.join(changed)}. Nothing is on sale here"
            " yet. Stop what writes there, and run again with --start-over."
        )


def _take_back(known: staging.Record, say: Say) -> None:
    if known.finished_at is not None:
        raise CanNotMove("The move is finished: what it has brought is not taken back.")
    with transaction.atomic():
        staging.take_back()
    say("Took back what the unfinished move had brought.")
