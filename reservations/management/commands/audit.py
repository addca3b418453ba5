"""`manage.py audit`: is everything as it must be?"""

import uuid
from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from events.models import Event
from reservations.integrity import Audit
from reservations.services import audit


class Command(BaseCommand):
    help = "Proves, in the middle of a sale, too, that seats, stock, money and waiting rooms are as they must be."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--event", type=uuid.UUID, help="look at this event only")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        event_id = options["event"]
        if event_id and not Event.objects.filter(id=event_id).exists():
            raise CommandError(f"There is no event {event_id}.", returncode=2)
        found = audit(event_id=event_id)
        self.stdout.write(_as_json(found) if options["json"] else _as_text(found))
        if found.violations:
            raise CommandError(f"{sum(outcome.count for outcome in found.violations):,} violations.", returncode=1)
        if not found.waiting_room_was_checked:
            raise CommandError("Redis does not answer: the waiting rooms were not looked at.", returncode=2)


def _as_json(found: Audit) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def _as_text(found: Audit) -> str:
    lines = [f"{len(found.outcomes)} checks, as of {found.moment:%F %T.%f %Z}"]
    for outcome in found.violations:
        lines += ["", f"{outcome.check}: {outcome.count:,} violations of: {outcome.rule}"]
        lines += [f"  {orjson.dumps(row).decode()}" for row in outcome.rows]
        if outcome.count > len(outcome.rows):
            lines.append(f"  and {outcome.count - len(outcome.rows):,} more")
    return "\n".join([*lines, "" if found.violations else "No violations."])
