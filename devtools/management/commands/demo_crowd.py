"""`manage.py demo_crowd`: a thousand simulated buyers at a demo event, so that there is a queue and a map that changes."""

import asyncio
import logging
import os
import signal
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from crowd import crowd
from crowd.api import FIRST_BUYER, LAST_BUYER, Api
from crowd.buyers import Habits
from demo.catalogue import SHOWS
from demo.loading import event_id
from kernel.errors import DomainError
from queueing import services as queueing
from reservations import services
from reservations.models import Reservation

# So that there is a queue which moves: a newcomer behind a thousand people waits for about a minute.
THRESHOLD, PER_SECOND = 150, 15
DEFAULT_SHOW = "moonlit-garden"
DEMO_EVENTS = {show.slug: str(event_id(show)) for show in SHOWS}


class Command(BaseCommand):
    help = "Sends simulated buyers to a demo event of the service that runs on this machine. Ctrl-C stops them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--event", default=DEFAULT_SHOW, help=f"an event's id, or one of {', '.join(DEMO_EVENTS)}")
        parser.add_argument("--buyers", type=int, default=1000)
        parser.add_argument("--within", type=float, default=30, help="how many seconds it takes all of them to come")
        parser.add_argument("--pace", type=float, default=1.0, help="10: ten times as fast as people")
        parser.add_argument("--seed", type=int, default=None, help="the same number makes the same crowd again")
        parser.add_argument("--reset", action="store_true", help="give back what earlier crowds have bought, and stop")
        parser.add_argument("--base", default="", help="the service's address; that of `make run` by default")

    def handle(self, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("DEBUG is off, so this looks like production: simulated buyers buy real seats.")
        event = DEMO_EVENTS.get(options["event"], options["event"])
        if event not in DEMO_EVENTS.values():
            raise CommandError(f"{options['event']} is no demo event. Choose one of {', '.join(DEMO_EVENTS)}.")
        if options["reset"]:
            self.reset(UUID(event))
            return
        limits = {"threshold": THRESHOLD, "admissions_per_second": PER_SECOND, "burst": PER_SECOND}
        queueing.change_policy(event_id=UUID(event), changes=limits)
        self.write(
            f"{options['buyers']} people are on their way. Ctrl-C stops them; --reset gives back what they bought."
        )
        plan = crowd.Plan(
            event=event,
            buyers=options["buyers"],
            arrive_within=options["within"],
            habits=Habits(pace=options["pace"]),
            seed=options["seed"] if options["seed"] is not None else int.from_bytes(os.urandom(4)),
        )
        logging.getLogger("httpx").setLevel(logging.WARNING)  # not a line for each request
        base = options["base"] or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
        with suppress(asyncio.CancelledError):
            asyncio.run(self.send(base, plan))

    async def send(self, base: str, plan: crowd.Plan) -> None:
        api = Api(base, jwt_secret=settings.JWT_SECRET, internal_token=settings.INTERNAL_API_TOKEN)
        task = asyncio.ensure_future(crowd.run(api, plan, say=self.write))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        finally:
            await api.close()

    def reset(self, event: UUID) -> None:
        """End the reservations of simulated buyers, empty the queue, and restore the waiting room's defaults."""
        queueing.clear_queue(event_id=event)
        queueing.change_policy(event_id=event, changes=dict.fromkeys(("threshold", "admissions_per_second", "burst")))
        theirs = Reservation.objects.filter(event_id=event, user_id__gte=FIRST_BUYER, user_id__lte=LAST_BUYER)
        live = theirs.filter(status__in=(Reservation.Status.PENDING, Reservation.Status.CONFIRMED))
        found = list(live.values_list("id", "status", "user_id"))
        for reservation, status, user in found:
            with suppress(DomainError):  # it has ended by itself meanwhile
                if status == Reservation.Status.CONFIRMED:
                    services.refund_reservation(reservation_id=reservation)
                    continue
                with suppress(DomainError):
                    services.fail_payment(reservation_id=reservation)
                services.cancel(user_id=user, reservation_id=reservation, part=None)
        self.write(f"{len(found)} reservations of simulated buyers were ended, and the waiting room is as it was.")

    def write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
