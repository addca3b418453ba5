"""`manage.py verify_draw EVENT`: computes a draw again from what is published, and says whether it was fair."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from kernel.errors import DomainError
from queueing import draws, selectors


class Command(BaseCommand):
    help = (
        "Verifies the draw of an event: the seed is the one committed to, and participants are in the order of their lots. "
        "From this service's own database, or from a response of GET /queue/draw/EVENT?participants=all (--file)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", type=UUID, help="id of the event")
        parser.add_argument(
            "--file", help="a saved response of GET /queue/draw/EVENT?participants=all; - for standard input"
        )
        parser.add_argument("--commitment", help="as it was noted before the opening")
        parser.add_argument("--user", type=UUID, help="also print this user's position")

    def handle(self, *, event: UUID, file: str | None, commitment: str | None, user: UUID | None, **_: Any) -> None:
        seed, shown, participants = self._published(file) if file else self._recorded(event)
        published = commitment.lower() if commitment else shown
        if problems := draws.problems(seed=seed, published=published, participants=participants):
            raise CommandError("The draw is wrong:\n" + "\n".join(f"- {problem}" for problem in problems[:20]))
        self.stdout.write(f"The draw of {len(participants)} participants is correct.")
        if user is not None:
            code = draws.code(event, user)
            if code not in participants:
                raise CommandError(f"{user} did not take part.")
            self.stdout.write(f"{user} was at position {participants.index(code) + 1}.")

    @staticmethod
    def _recorded(event: UUID) -> tuple[str, str, list[bytes]]:
        try:
            draw = selectors.draw_of(event)
        except DomainError as error:
            raise CommandError(f"{event}: {error.code}") from error
        if draw.drawn_at is None:
            raise CommandError(f"The draw of {event} has not been held yet.")
        return draw.seed, draws.commitment(draw.seed), draws.codes(bytes(draw.participants or b""))

    @staticmethod
    def _published(file: str) -> tuple[str, str, list[bytes]]:
        response = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
        if not response.get("seed") or "participants" not in response:
            raise CommandError(
                "It has no seed or no participants: the draw has not been held, or ?participants=all is missing."
            )
        return response["seed"], response["commitment"], [bytes.fromhex(code) for code in response["participants"]]
