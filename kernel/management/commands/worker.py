"""`manage.py worker`: Celery workers, one process for each queue, so that slow tasks never delay those of each second."""

import logging
import os
import shlex
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from prometheus_client import start_http_server

from kernel.checks import raise_for_invalid_settings
from kernel.concurrency.processes import ProcessGroup
from kernel.observability.exposition import MachineCollector
from kernel.observability.multiprocess import VARIABLE as METRICS_VARIABLE
from kernel.observability.multiprocess import prepare

logger = logging.getLogger(__name__)

# `--pool solo` runs tasks in the worker's own process, which saves a message to a child every second. It cannot enforce
# time limits: tasks of these queues are bounded by the timeouts of PostgreSQL and Redis. `webhooks` waits for other services
# most of the time, and has threads: each is busy with one subscriber. `work` runs in child processes, which a time limit can
# kill.
QUEUES = {
    "admission": "--pool solo",
    "ticks": "--pool solo",
    "webhooks": "--pool threads --concurrency 8",
    "work": "--pool prefork --concurrency {concurrency}",
}
WORKER = "celery --quiet --app ticketservice worker --queues {name} --hostname {name}@%h --loglevel {loglevel} {pool}"
RESTART_SECONDS = 1.0
QUIET = "--without-gossip --without-mingle --without-heartbeat"


class Command(BaseCommand):
    help = "Run a Celery worker for each queue. A worker that ends is started again; the others go on."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=int(os.environ.get("WORKER_CONCURRENCY", "1")))
        parser.add_argument("--loglevel", default=os.environ.get("LOG_LEVEL", "INFO"))

    def handle(self, *, concurrency: int, loglevel: str, **_: Any) -> None:
        stop_requested = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop_requested.set())
        raise_for_invalid_settings()
        prepare(settings.METRICS_DIR)
        environment = {**os.environ, METRICS_VARIABLE: str(settings.METRICS_DIR)}
        if settings.METRICS_PORT:
            start_http_server(settings.METRICS_PORT, registry=MachineCollector())
        commands = {}
        for name, pool in QUEUES.items():
            options = pool.format(concurrency=concurrency)
            commands[name] = f"{WORKER.format(name=name, loglevel=shlex.quote(loglevel), pool=options)} {QUIET}"
        workers = ProcessGroup(self.write_line)
        try:
            workers.start(commands, dict.fromkeys(commands, environment))
            while not stop_requested.wait(0.5):
                if ended := workers.first_exit():
                    name, code = ended
                    logger.error("the worker of %s exited with code %d, and is started again", name, code)
                    stop_requested.wait(RESTART_SECONDS)
                    workers.start({name: commands[name]}, {name: environment})
        finally:
            workers.stop()

    def write_line(self, worker: str, line: str) -> None:
        """Write a line that a worker has printed. Celery prints some without a logger; those are logged here."""
        if settings.LOG_FORMAT == "json" and not line.startswith("{"):
            if line:
                logger.info("%s: %s", worker, line)
        else:
            self.stdout.write(line)
            self.stdout.flush()  # Python buffers 8 KB if stdout is a file or a pipe
