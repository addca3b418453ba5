"""`manage.py worker`: the Celery workers, one process for each queue, so that slow work never delays a tick."""

import logging
import os
import shlex
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from kernel.checks import refuse_impossible_settings
from kernel.observability.exposition import OfThisMachine
from kernel.observability.multiprocess import NAME as METRICS_VARIABLE
from kernel.observability.multiprocess import prepare
from kernel.tasks.processes import Processes

logger = logging.getLogger(__name__)

# `admission` and `ticks` run in the worker's own process: no second process to talk to every second. What they run is
# bounded by the time-outs of PostgreSQL and Redis. `work` runs in children, which a time limit can end.
QUEUES = {"admission": "--pool solo", "ticks": "--pool solo", "work": "--pool prefork --concurrency {concurrency}"}
WORKER = "celery --quiet --app ticketservice worker --queues {name} --hostname {name}@%h --loglevel {loglevel} {pool}"
QUIET = "--without-gossip --without-mingle --without-heartbeat"


class Command(BaseCommand):
    help = "Runs a Celery worker for each queue. Ends when one of them ends, for a supervisor to start it again."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=int(os.environ.get("WORKER_CONCURRENCY", "1")))
        parser.add_argument("--loglevel", default=os.environ.get("LOG_LEVEL", "INFO"))

    def handle(self, *, concurrency: int, loglevel: str, **_: Any) -> None:
        asked_to_stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: asked_to_stop.set())
        refuse_impossible_settings()
        prepare(settings.METRICS_DIR)
        environment = {**os.environ, METRICS_VARIABLE: str(settings.METRICS_DIR)}
        if settings.METRICS_PORT:
            start_http_server(settings.METRICS_PORT, registry=OfThisMachine())
        commands = {}
        for name, pool in QUEUES.items():
            options = pool.format(concurrency=concurrency)
            commands[name] = f"{WORKER.format(name=name, loglevel=shlex.quote(loglevel), pool=options)} {QUIET}"
        processes = Processes(self.say)
        try:
            processes.start(commands, dict.fromkeys(commands, environment))
            while not asked_to_stop.wait(0.5):
                if ended := processes.ended():
                    raise CommandError(f"the worker of {ended[0]} ended with exit code {ended[1]}")
        finally:
            processes.stop()

    def say(self, worker: str, line: str) -> None:
        """A line of the log. What Celery writes past every logger when it stops becomes one."""
        if settings.LOG_FORMAT == "json" and not line.startswith("{"):
            if line:
                logger.info("%s: %s", worker, line)
        else:
            self.stdout.write(line)
            self.stdout.flush()  # into a file or a pipe Python would keep it until there are 8 KB of it
