"""Imports the `public` tables of the old service into this database, once. See docs/legacy-import.md."""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from django.db import DatabaseError, transaction

from kernel.db.sql import fetch_all
from legacy_import import batches, staging, validation
from legacy_import.errors import LegacyImportError
from legacy_import.progress import ProgressBar
from legacy_import.report import write_findings, write_result, write_source
from legacy_import.source import Source, open_source
from legacy_import.tables import INVALID

WriteLine = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    dsn: str
    dry_run: bool
    skip_invalid: bool
    start_over: bool
    batch: int  # rows per transaction


def import_legacy(options: Options, *, write_line: WriteLine, progress: ProgressBar) -> None:
    """Starts an import, or continues an interrupted one. Does nothing if the import has finished.

    Raises LegacyImportError. Nothing new is on sale then, and rows imported so far are kept for the next run.
    """
    try:
        with staging.exclusive_session():
            if _prepare(options, write_line, progress):
                batches.import_batches(batch=options.batch, progress=progress)
                _finish(options.dsn, write_line)
    except (DatabaseError, psycopg.Error) as error:
        raise LegacyImportError(f"Database error. Run the same command again to continue: {error}") from error


def _prepare(options: Options, write_line: WriteLine, progress: ProgressBar) -> bool:
    """Fills the staging tables, or checks that those of an earlier run are still valid.

    Returns whether there is something to import.
    """
    record = staging.load_record()
    if record is not None and options.dry_run:
        raise LegacyImportError("An import has already started. Run without --dry-run to continue it.")
    if record is not None and options.start_over:
        _undo(record, write_line)
        record = None
    with open_source(options.dsn) as source:
        if record is None:
            return _stage(source, options, write_line, progress)
        if record.source != source.name:
            raise LegacyImportError(f"The import into this database is from {record.source}, not from {source.name}.")
        if record.finished_at is not None:
            finished_at = f"{record.finished_at:%F %T %Z}"
            write_line(f"Nothing to do: {record.source} was imported and verified at {finished_at}.")
            return False
        write_line(f"Continuing the import from {record.source} as of {record.snapshot_at:%F %T %Z}.")
        _check_source_unchanged(source, record)
        staging.check_only_imported_rows()
        return True


def _stage(source: Source, options: Options, write_line: WriteLine, progress: ProgressBar) -> bool:
    """Fills the staging tables in one transaction, which is rolled back unless the import can start.

    Returns whether it can.
    """
    staging.check_tables_are_empty()
    with transaction.atomic():
        write_source(source, write_line)
        staging.fill(source, progress)
        invalid = validation.find_invalid_rows()
        write_findings(invalid, write_line)
        if invalid and not options.skip_invalid:
            raise LegacyImportError(
                "Nothing was written. Correct the invalid rows in the old service, or leave them out with --skip-invalid."
            )
        transaction.set_rollback(options.dry_run)
    if options.dry_run:
        write_line("Nothing was written.")
    return not options.dry_run


def _finish(dsn: str, write_line: WriteLine) -> None:
    record = staging.load_record()
    with open_source(dsn) as source:
        if record is not None:
            _check_source_unchanged(source, record)
    counts = fetch_all(f"SELECT table_name, count(DISTINCT row_position) AS rows FROM {INVALID} GROUP BY 1", {})
    write_result(batches.finish_import(), {table["table_name"]: table["rows"] for table in counts}, write_line)


def _check_source_unchanged(source: Source, record: staging.Record) -> None:
    """Raises LegacyImportError if the old service has been written to, since what it sold would be lost."""
    versions = source.row_versions()
    changed = [name for name in record.versions if record.versions[name] != versions.get(name)]
    if changed:
        raise LegacyImportError(
            f"The old service has changed since {record.snapshot_at:%F %T %Z}: {', '.join(changed)}. Nothing is on sale"
            " here yet. Stop the writes to the old database, and run again with --start-over."
        )


def _undo(record: staging.Record, write_line: WriteLine) -> None:
    if record.finished_at is not None:
        raise LegacyImportError("The import has finished and cannot be started over.")
    with transaction.atomic():
        staging.delete_imported_rows()
    write_line("Deleted what the unfinished import had written.")
