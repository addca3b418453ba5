"""`manage.py load_demo`: a catalogue to try the service with."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from demo.loading import load_demo


class Command(BaseCommand):
    help = "Loads the demo catalogue, or what is missing of it. Running it again leaves stock and seats as they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--refresh", action="store_true", help="move the demo events' dates to today again")
        parser.add_argument("--force", action="store_true", help="also where DEBUG is off")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        if not (settings.DEBUG or options["force"]):
            raise CommandError("DEBUG is off, so this looks like production: --force loads the demo nevertheless.")
        load_demo(refresh=options["refresh"], say=self.stdout.write)
