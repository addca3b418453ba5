"""`manage.py generate_seats`: generates seats from layouts."""

import time
import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from events.models import Event
from kernel.errors import DomainError
from kernel.tasks.batches import is_outage
from seats.services import generate_seats


class Command(BaseCommand):
    help = "Generates the missing seats of one event, or of every event that has a layout and no seats."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event_id", nargs="?", type=uuid.UUID, help="default: every event that lacks seats")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        if options["event_id"]:
            events = [options["event_id"]]
        else:
            events = list(Event.objects.filter(seat_layout__isnull=False, seats=None).values_list("id", flat=True))
        failed = 0
        for number, event_id in enumerate(events, 1):
            started = time.monotonic()
            try:
                made = generate_seats(event_id=event_id)
            except (DomainError, DatabaseError) as error:
                if is_outage(error):
                    raise
                failed += 1
                self.stderr.write(f"[{number}/{len(events)}] {event_id}: {error}")
                continue
            self.stdout.write(
                f"[{number}/{len(events)}] {event_id}: {made} seats in {time.monotonic() - started:.1f} s"
            )
        if failed:
            raise CommandError(f"No seats could be generated for {failed} of {len(events)} events.")
