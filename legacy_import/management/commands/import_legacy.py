"""`manage.py import_legacy`: the old service's data."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from legacy_import.errors import CanNotMove
from legacy_import.progress import Progress
from legacy_import.services import Options, import_legacy


class Command(BaseCommand):
    help = "Moves the old service's data in, once. Interrupted, it goes on where it was; finished, it does nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="dsn", required=True, metavar="DSN", help="the old service's database")
        parser.add_argument("--dry-run", action="store_true", help="write nothing; list what would be refused, and why")
        parser.add_argument(
            "--skip-refused", action="store_true", help="leave out what is refused, and what hangs on it"
        )
        parser.add_argument(
            "--start-over", action="store_true", help="first take back what an unfinished move has brought"
        )
        parser.add_argument("--batch", type=int, default=20_000, help="rows in one transaction (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        if options["batch"] < 1:
            raise CommandError("--batch must be 1 or more.")
        asked = Options(
            dsn=options["dsn"],
            is_dry_run=options["dry_run"],
            skips_refused=options["skip_refused"],
            starts_over=options["start_over"],
            batch=options["batch"],
        )
        try:
            import_legacy(asked, say=self.stdout.write, progress=Progress(sys.stderr))
        except CanNotMove as refusal:
            raise CommandError(str(refusal)) from refusal
