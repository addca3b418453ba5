"""`manage.py run`: the whole service on this machine, with servers, migrations, demo data and all processes.

The processes run with the command lines of the Procfile. All stop on Ctrl-C, or as soon as one of them exits.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devtools.embedded import EmbeddedServerError, Servers, becomes_free
from devtools.procfile import read_procfile
from kernel.concurrency.processes import ProcessGroup

COLOURS = {"web": 36, "realtime": 33, "worker": 32, "beat": 35}
LISTENERS = {"web", "realtime"}
MAILBOX = {"EMAIL_BACKEND": "devtools.mailbox.MailboxBackend", "MAIL_FROM": "Tickets <tickets@example.com>"}


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP."""


class Command(BaseCommand):
    help = "Run the whole service on this machine, with its own PostgreSQL and Redis unless others are configured."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only", default="", metavar="web,worker", help="start only these processes of the Procfile"
        )

    def handle(self, *, only: str, **_: Any) -> None:
        self.output_lock = threading.Lock()
        # A flag, not an exception: it could be raised while a server has been started, and is not registered yet.
        self.stop_requested = threading.Event()
        commands = _chosen_commands(only)
        ports = _ports(commands)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop_requested.set())
        try:
            with self.servers() as environment:
                for name in ("migrate", "load_demo"):
                    if name in get_commands():
                        self.write_line("run", name)
                        self.manage(environment, name)
                self.run_processes(commands, ports, environment)
        except StopRequested:
            self.write_line("run", "stopped")
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    @contextmanager
    def servers(self) -> Iterator[dict[str, str]]:
        """Start the servers, and yield the environment for everything else. Servers started here are stopped at the end."""
        # The names of started servers are also in a file, which is locked while a run lives. The next run reads it, and
        # so stops the servers of a run that was killed. A second run beside the first one leaves the servers to it.
        servers = Servers()
        with (servers.directory / "run").open("a+") as record:
            is_first = _try_lock(record.fileno())
            record.seek(0)
            if is_first:
                servers.started.update(record.read().split())
            try:
                if servers.needed(os.environ):
                    self.write_line("run", f"PostgreSQL and Redis in {servers.directory}")
                urls = servers.start_needed(os.environ)
                if is_first:
                    record.truncate(0)
                    record.write(" ".join(servers.started))
                    record.flush()
                yield os.environ | urls | _process_environment(servers.directory)
            finally:
                servers.stop()
                if is_first:
                    record.truncate(0)

    def run_processes(self, commands: dict[str, str], ports: dict[str, int], environment: dict[str, str]) -> None:
        processes = ProcessGroup(self.write_line)
        announced = "web" not in commands
        try:
            if "realtime" in ports:
                # Sockets have another port than the pages, so that nothing but this says which pages may open them.
                own = (f"http://{host}:{ports['realtime'] - 1}" for host in ("localhost", "127.0.0.1"))
                urls = {"REALTIME_URL": f":{ports['realtime']}", "SHOP_ORIGINS": ",".join(own)}
                environment = urls | environment
            processes.start(commands, {name: environment | {"PORT": str(ports[name])} for name in commands})
            while not self.stop_requested.wait(0.2):
                if ended := processes.first_exit():
                    raise CommandError(f"{ended[0]} exited with code {ended[1]}; everything else was stopped.")
                if not announced and _fetch(f"http://127.0.0.1:{ports['web']}/health") is not None:
                    self.announce(ports, environment)
                    announced = True
            raise StopRequested
        finally:
            self.write_line("run", "stopping ...")
            processes.stop()

    def announce(self, ports: dict[str, int], environment: dict[str, str]) -> None:
        base = f"http://localhost:{ports['web']}"
        lines = [
            "",
            f"The service answers at {base}  (Ctrl-C stops it; PORT=9000 make run uses another port)",
            *_addresses(base, ports),
            "",
        ]
        buyer = "<token>"
        if environment.get("JWT_SECRET") and "issue_token" in get_commands():
            buyer = self.manage(environment, "issue_token", stdout=subprocess.PIPE).strip()
            administrator = self.manage(environment, "issue_token", "--role", "admin", stdout=subprocess.PIPE).strip()
            lines += ["A buyer's token:", buyer, "", "An administrator's token:", administrator, ""]
        lines += ["Try:", f"curl '{base}/events?status=on_sale'"]
        if available := _available_seat(base):
            event, seat = available
            body = json.dumps({"eventId": event, "seatIds": [seat]})
            headers = f"-H 'Authorization: Bearer {buyer}' -H 'Content-Type: application/json'"
            lines += [
                f"curl {base}/seats/events/{event}",
                f"curl -X POST {base}/seats/reserve {headers} -d '{body}'",
            ]
        self.write("\n".join([*lines, ""]))

    def manage(self, environment: dict[str, str], *arguments: str, stdout: int | None = None) -> str:
        """Run a management command, and return its output if `stdout` is a pipe. Raises StopRequested, CommandError."""
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
        process = subprocess.Popen(command, env=environment, stdout=stdout, text=True, start_new_session=True)  # noqa: S603
        while True:
            try:
                output, _ = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                if self.stop_requested.is_set():
                    process.kill()
                    process.wait()
                    raise StopRequested from None
        if process.returncode != 0:
            raise CommandError(f"manage.py {arguments[0]} failed with exit code {process.returncode}.")
        return output or ""

    def write_line(self, name: str, line: str) -> None:
        label = f"{name:<8} |"
        if self.stdout.isatty() and "NO_COLOR" not in os.environ:
            label = f"\033[{COLOURS.get(name, 37)}m{label}\033[0m"
        self.write(f"{label} {line}")

    def write(self, text: str) -> None:
        with self.output_lock, suppress(BrokenPipeError):  # if the reader is gone, still stop in order
            self.stdout.write(text)
            self.stdout.flush()


def _chosen_commands(only: str) -> dict[str, str]:
    commands = read_procfile(settings.BASE_DIR / "Procfile")
    chosen = only.split(",") if only else list(commands)
    if unknown := set(chosen) - commands.keys():
        raise CommandError(f"Not in the Procfile: {', '.join(sorted(unknown))}.")
    return {name: commands[name] for name in chosen}


def _ports(names: Iterable[str]) -> dict[str, int]:
    """Return the port for each process: PORT, and the next one for `realtime`. Raises CommandError if one is in use."""
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65535:
        raise CommandError(f"PORT is {text!r}, which is not a port number.")
    ports = {name: int(text) + (name == "realtime") for name in names}
    for name in LISTENERS & ports.keys():
        if not becomes_free(ports[name]):
            raise CommandError(f"Port {ports[name]} is in use. Stop what listens there, or set another PORT.")
    return ports


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _process_environment(directory: Path) -> dict[str, str]:
    """Return what the processes need to run from the virtual environment, with a log for people instead of JSON."""
    programs = Path(sys.executable).parent
    return {
        **(MAILBOX if _has_mailbox() else {}),
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "LOG_FORMAT": os.environ.get("LOG_FORMAT") or "text",
        "BEAT_SCHEDULE": os.environ.get("BEAT_SCHEDULE") or str(directory / "beat"),
    }


def _has_mailbox() -> bool:
    """Whether mail is shown at a page, because no mail server is configured."""
    return not {"EMAIL_URL", "EMAIL_BACKEND"} & os.environ.keys()


def _addresses(base: str, ports: dict[str, int]) -> Iterator[str]:
    """Yield a line for each address that a browser or a client can open."""
    yield f"{base}/          the shop: open it in a browser"
    yield f"{base}/api-docs  every operation, to read and to try"
    yield f"{base}/admin/    for organisers: user demo, password demo"
    if _has_mailbox():
        yield f"{base}/dev/mail  the mail that buyers would get"
    if "realtime" in ports:
        sockets = f"localhost:{ports['realtime']}"
        yield f"ws://{sockets}/ws/seats/EVENT_ID     the live seat map"
        yield f"ws://{sockets}/ws/queue/EVENT_ID     the waiting room"
        yield f"http://{sockets}/socket.io/          both over Socket.IO"


def _available_seat(base: str) -> tuple[str, str] | None:
    """Return the ids of an event on sale and of one of its available seats."""
    for event in json.loads(_fetch(f"{base}/events?status=on_sale") or "{}").get("events", []):
        for seat in json.loads(_fetch(f"{base}/seats/events/{event['id']}") or "{}").get("seats", []):
            if seat["status"] == "available":
                return event["id"], seat["id"]
    return None


def _fetch(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own address
            return bytes(response.read())
    except OSError:
        return None
