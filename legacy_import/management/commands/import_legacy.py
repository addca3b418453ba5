"""`manage.py import_legacy`: imports the old service's data."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from legacy_import.errors import LegacyImportError
from legacy_import.progress import ProgressBar
from legacy_import.services import Options, import_legacy


class Command(BaseCommand):
    help = "Imports the old service's data, once. Run it again to continue an interrupted import."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="dsn", required=True, metavar="DSN", help="the old service's database")
        parser.add_argument("--dry-run", action="store_true", help="list invalid rows without writing anything")
        parser.add_argument(
            "--skip-invalid", action="store_true", help="leave out invalid rows and the rows that depend on them"
        )
        parser.add_argument("--start-over", action="store_true", help="first delete what an unfinished import wrote")
        parser.add_argument("--batch", type=int, default=20_000, help="rows per transaction (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1.")
        import_options = Options(
            dsn=options["dsn"],
            dry_run=options["dry_run"],
            skip_invalid=options["skip_invalid"],
            start_over=options["start_over"],
            batch=options["batch"],
        )
        try:
            import_legacy(import_options, write_line=self.stdout.write, progress=ProgressBar(sys.stderr))
        except LegacyImportError as error:
            raise CommandError(str(error)) from error
