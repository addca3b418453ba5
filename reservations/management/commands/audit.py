"""`manage.py audit`: checks the invariants of seats, stock, payments and waiting rooms."""

import uuid
from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from events.models import Event
from reservations.integrity import Audit
from reservations.services import audit


class Command(BaseCommand):
    help = "Checks the invariants of seats, stock, payments and waiting rooms, also in the middle of a sale."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--event", type=uuid.UUID, help="check this event only")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        event_id = options["event"]
        if event_id and not Event.objects.filter(id=event_id).exists():
            raise CommandError(f"There is no event {event_id}.", returncode=2)
        result = audit(event_id=event_id)
        self.stdout.write(_as_json(result) if options["json"] else _as_text(result))
        if result.violations:
            raise CommandError(f"{sum(outcome.count for outcome in result.violations):,} violations.", returncode=1)
        if not result.waiting_room_was_checked:
            raise CommandError("Redis does not respond: the waiting rooms were not checked.", returncode=2)


def _as_json(result: Audit) -> str:
    return orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()


def _as_text(result: Audit) -> str:
    lines = [f"{len(result.outcomes)} checks, as of {result.moment:%F %T.%f %Z}"]
    for outcome in result.violations:
        lines += ["", f"{outcome.check}: {outcome.count:,} violations of: {outcome.rule}"]
        lines += [f"  {orjson.dumps(row).decode()}" for row in outcome.rows]
        if outcome.count > len(outcome.rows):
            lines.append(f"  and {outcome.count - len(outcome.rows):,} more")
    return "\n".join([*lines, "" if result.violations else "No violations."])
