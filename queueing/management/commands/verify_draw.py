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
        "Checks the draw of an event: the seed is the one that was committed to, and the participants stand by their lots. "
        "Of this service's own database, or of what GET /queue/draw/EVENT?participants=all has answered (--file)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", type=UUID, help="id of the event")
        parser.add_argument(
            "--file", help="a saved answer of GET /queue/draw/EVENT?participants=all; - for standard input"
        )
        parser.add_argument("--commitment", help="as it was published before the opening, for who has noted it")
        parser.add_argument("--user", type=UUID, help="also say at which place this user stood")

    def handle(self, *, event: UUID, file: str | None, commitment: str | None, user: UUID | None, **_: Any) -> None:
        seed, shown, participants = self._published(file) if file else self._recorded(event)
        published = commitment.lower() if commitment else shown
        if problems := draws.problems(seed=seed, published=published, participants=participants):
            raise CommandError(
                "The draw is not as it should be:\n" + "\n".join(f"- {problem}" for problem in problems[:20])
            )
        self.stdout.write(f"The draw of {len(participants)} participants is as it should be.")
        if user is not None:
            code = draws.code(event, user)
            if code not in participants:
                raise CommandError(f"{user} did not take part.")
            self.stdout.write(f"{user} stood at place {participants.index(code) + 1}.")

    @staticmethod
    def _recorded(event: UUID) -> tuple[str, str, list[bytes]]:
        try:
            held = selectors.draw_of(event)
        except DomainError as refusal:
            raise CommandError(f"{event}: {refusal.code}") from refusal
        if held.drawn_at is None:
            raise CommandError(f"The draw of {event} has not been held yet.")
        return held.seed, draws.commitment(held.seed), draws.codes(bytes(held.participants or b""))

    @staticmethod
    def _published(file: str) -> tuple[str, str, list[bytes]]:
        answer = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
        if not answer.get("seed") or "participants" not in answer:
            raise CommandError(
                "No seed or no participants in it: the draw has not been held, or the list was not asked for."
            )
        return answer["seed"], answer["commitment"], [bytes.fromhex(code) for code in answer["participants"]]
