"""What tests use to look at the service from outside: processes, a client, tokens, SQL."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jwt
import psycopg
from django.core.management import CommandError, call_command
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from devtools.procfile import read_procfile

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "tests" / "contract"
TOKENS: dict[str, Any] = json.loads((CONTRACT / "tokens.json").read_text())
WORLD = (CONTRACT / "world.sql").read_text()
INTERNAL_TOKEN = "internal-token-of-the-tests"
ENTRY_TOKEN = "entry-token-of-the-tests-of-24-characters"  # of a service that may only check tickets

# Of world.sql
HALL = "e0e00000-0000-4000-8000-000000000001"  # on sale, 20 seats
STANDING = "e0e00000-0000-4000-8000-000000000002"  # on sale, ticket types only
UPCOMING = "e0e00000-0000-4000-8000-000000000003"
THEATRE = "e0e00000-0000-4000-8000-000000000007"  # on sale, 600 seats
STADIUM = "e0e00000-0000-4000-8000-00000000000f"  # on sale, 4,900 seats
MANY_TYPES = "e0e00000-0000-4000-8000-00000000000c"  # upcoming, 40 ticket types
STANDING_A = "71c00000-0000-4000-8000-000000000003"  # 100 of 100
STANDING_B = "71c00000-0000-4000-8000-000000000004"  # 3 of 50

# What the TRUNCATE of world.sql empties.
TABLES_OF_WORLD = """
WITH RECURSIVE emptied AS (
    SELECT oid FROM pg_class WHERE oid = ANY('{events, seats, seat_layouts, ticket_types, keyword_mappings}'::regclass[])
    UNION SELECT c.conrelid FROM pg_constraint c JOIN emptied e ON c.confrelid = e.oid WHERE c.contype = 'f'
)
SELECT c.relname AS name, string_agg(quote_ident(a.attname), ', ') AS columns
FROM emptied JOIN pg_class c USING (oid) JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' GROUP BY 1
"""

Result = TypeVar("Result")


def seat(event_number: int, place: int) -> str:
    """The id of the place-th seat (from 1) of an event of world.sql."""
    return f"5ea7{event_number:04x}-0000-4000-8000-{place:012x}"


def new_user() -> str:
    return str(uuid.uuid4())


def token(user_id: str, *, role: str = "user", seconds: int = 3600) -> str:
    now = int(time.time())
    claims = {"userId": user_id, "email": f"{user_id}@example.com", "role": role, "iat": now, "exp": now + seconds}
    return jwt.encode(claims, TOKENS["jwt_secret"], algorithm="HS256")


@dataclass
class Answer:
    status: int
    json: Any
    headers: dict[str, str]
    seconds: float


class Connection(http.client.HTTPConnection):
    """Closes itself when its thread ends."""

    def __del__(self) -> None:
        self.close()


@dataclass
class Api:
    """A client of one `web` process; each thread has a connection of its own."""

    port: int
    _local: threading.local = field(default_factory=threading.local)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if user is not None:
            sent["Authorization"] = f"Bearer {token(user)}"
        raw = None
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        elif method == "POST":
            sent["Content-Length"] = "0"
        started = time.monotonic()
        status, found, received = self._exchange(method, path, raw, sent)
        is_json = "json" in found.get("content-type", "") and found.get("content-encoding") is None
        return Answer(
            status, json.loads(received) if is_json and received else received, found, time.monotonic() - started
        )

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None or time.monotonic() - self._local.used > 5:
            connection = self._local.connection = Connection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            received = response.read()
            # Idle connections are closed by the server, and so is one whose body it has not read.
            self._local.used = time.monotonic() if response.status != 413 else 0
            return response.status, {k.lower(): v for k, v in response.getheaders()}, received
        except Exception:
            connection.close()
            self._local.connection = None
            raise

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("POST", path, body, **options)

    # The steps of a sale
    def reserve(self, user: str, event_id: str, *seat_ids: str, headers: dict[str, str] | None = None) -> Answer:
        return self.post("/seats/reserve", {"eventId": event_id, "seatIds": list(seat_ids)}, user=user, headers=headers)

    def best(
        self, user: str, event_id: str, quantity: int, headers: dict[str, str] | None = None, **wish: Any
    ) -> Answer:
        body = {"eventId": event_id, "quantity": quantity, **wish}
        return self.post("/seats/best-available", body, user=user, headers=headers)

    def buy(self, user: str, event_id: str, headers: dict[str, str] | None = None, **quantities: int) -> Answer:
        items = [{"ticketTypeId": type_id, "quantity": n} for type_id, n in quantities.items()]
        return self.post("/reservations", {"eventId": event_id, "items": items}, user=user, headers=headers)

    def cancel(self, user: str, reservation_id: str) -> Answer:
        return self.post(f"/reservations/{reservation_id}/cancel", user=user)

    def confirm(self, reservation_id: str, amount: int, payment_id: str | None = None) -> Answer:
        body = {"amount": amount, "paymentMethod": "card", "paymentId": payment_id or f"pay-{uuid.uuid4()}"}
        return self.post(f"/internal/reservations/{reservation_id}/confirm", body, headers=INTERNAL)

    def refund(self, reservation_id: str) -> Answer:
        return self.post(f"/internal/reservations/{reservation_id}/refund", headers=INTERNAL)

    def seat_status(self, event_id: str, seat_id: str) -> str:
        seats = self.get(f"/seats/events/{event_id}", headers={"Accept-Encoding": "identity"}).json["seats"]
        return next(s["status"] for s in seats if s["id"] == seat_id)


INTERNAL = {"X-Internal-Token": INTERNAL_TOKEN}


def at_once(calls: list[Callable[[], Result]]) -> list[Result]:
    """Makes all calls from threads that start together; results in the order of the calls."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


class Database:
    """SQL from outside of the service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._tables: dict[str, str] = {}  # of world.sql; their columns that are written
        self._connection = psycopg.connect(
            url, autocommit=True, row_factory=dict_row, options="-c search_path=ticket_schema,public"
        )

    def load_world(self) -> None:
        """Makes the tables as world.sql makes them. After the first time only what has changed is written."""
        if self._tables:
            self._restore_world()
            return
        self._connection.execute(WORLD)
        self._connection.execute("SET timezone = 'UTC'")
        if not self.one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            return
        self._tables = {row["name"]: row["columns"] for row in self.rows(TABLES_OF_WORLD)}
        for table in self._tables:
            self.rows(f"CREATE TEMP TABLE of_{table} AS TABLE {table}")

    def _restore_world(self) -> None:
        self.rows("BEGIN")
        self.rows("SET LOCAL session_replication_role = replica")  # no triggers, and tables in any order
        for table, columns in self._tables.items():
            changed, missing = f"TABLE {table} EXCEPT TABLE of_{table}", f"TABLE of_{table} EXCEPT TABLE {table}"
            if table == "seats":  # many, and every order of them is given by their numbers
                self.rows(f"DELETE FROM seats WHERE id IN (SELECT id FROM ({changed}) changed)")
                self.rows(f"INSERT INTO seats ({columns}) SELECT {columns} FROM ({missing}) missing")
            elif self.one(f"SELECT EXISTS ({changed}) OR EXISTS ({missing})"):
                self.rows(f"DELETE FROM {table}")
                self.rows(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM of_{table}")
        self.rows("COMMIT")

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        cursor = self._connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, *parameters: Any) -> Any:
        """The only value of the only row."""
        (row,) = self.rows(sql, *parameters)
        (value,) = row.values()
        return value

    def expire(self, reservation_id: str) -> None:
        """Lets a reservation's time be over, a minute ago."""
        self.rows(
            "UPDATE reservations SET expires_at = expires_at - (deadline - now()) - interval '1 min',"
            " held_until = held_until - (deadline - now()) - interval '1 min' WHERE id = %s",
            reservation_id,
        )

    @contextmanager
    def without_triggers(self) -> Iterator[None]:
        """What this connection writes meanwhile fires no triggers; foreign keys are not checked, either."""
        self.rows("SET session_replication_role = replica")
        try:
            yield
        finally:
            self.rows("RESET session_replication_role")

    def settle(self) -> None:
        """Puts right what world.sql has from another service: stock without a reservation, holds without a deadline."""
        self.rows("UPDATE ticket_types t SET total_quantity = available_quantity + coalesce((SELECT sum(i.quantity)"
                  " FROM reservation_items i WHERE i.ticket_type_id = t.id AND i.is_live), 0)")  # fmt: skip
        self.rows(
            "UPDATE reservations SET held_until = now() + interval '1 h' WHERE status = 'pending' AND deadline IS NULL"
        )

    def turn_waiting_rooms_off(self) -> None:
        """Of all events: the sale then goes on without Redis. Redis, if it runs, is not told."""
        self.rows("INSERT INTO queue_policies (event_id, is_on) SELECT id, false FROM events"
                  " ON CONFLICT (event_id) DO UPDATE SET is_on = false")  # fmt: skip

    def widen_waiting_rooms(self) -> None:
        """Of all events: nobody has to wait. Redis must not know their policies yet."""
        self.rows("INSERT INTO queue_policies (event_id, threshold, admissions_per_second, burst)"
                  " SELECT id, 1000000, 1000000, 1000000 FROM events")  # fmt: skip

    def add_event(self) -> str:
        """Another event, on sale, with one seat; its id. Processes remember the seed of a draw: one event for each."""
        event_id = str(uuid.uuid4())
        self.rows(
            "INSERT INTO events (id, title, venue, event_date, sale_start_date, sale_end_date, status) VALUES (%s, 'e', 'v',"
            " now() + interval '9 d', now() - interval '1 d', now() + interval '8 d', 'on_sale')",
            event_id,
        )
        self.rows(
            "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
            " VALUES (%s, 'R', 1, 1, 'R-1-1', 1000)",
            event_id,
        )
        return event_id

    def everything(self) -> dict[str, Any]:
        """A picture of all rows, to show that nothing has changed."""
        tables = ("events", "ticket_types", "seats", "reservations", "reservation_items", "idempotency_keys")
        digest = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
        return {table: self.one(digest.format(table)) for table in tables}

    def close(self) -> None:
        """Gives back its locks first: PostgreSQL ends a session some time after its client has left."""
        if self._connection.info.transaction_status == TransactionStatus.INTRANS:
            self.rows("ROLLBACK")
        self._connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def procfile_command(process: str) -> str:
    return read_procfile(ROOT / "Procfile")[process]


@contextmanager
def running_process(process: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A line of the Procfile as a process of its own, stopped at the end."""
    env = {**os.environ, **environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = f"exec {procfile_command(process)}"
    with log.open("ab") as output:
        running = subprocess.Popen(
            ["sh", "-c", command], cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield running
    finally:
        stop(running)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def running_web(log: Path, **environment: str) -> Iterator[Api]:
    """The `web` process on a free port, ready to answer."""
    with running_listener("web", log, "/health", **environment) as (api, _):
        yield api


@contextmanager
def running_listener(
    name: str, log: Path, health: str, **environment: str
) -> Iterator[tuple[Api, subprocess.Popen[bytes]]]:
    """A process of the Procfile that listens, on a free port, once its page `health` answers."""
    port = free_port()
    with running_process(name, log, PORT=str(port), **environment) as process:
        api = Api(port)
        wait_until(lambda: process.poll() is not None or is_up(api, health), seconds=60)
        assert process.poll() is None, log.read_text()[-3000:]
        yield api, process


def is_up(api: Api, health: str = "/health") -> bool:
    try:
        return api.get(health).status == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], Any], *, seconds: float, every: float = 0.05) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"not within {seconds} s: {condition}"
        time.sleep(every)


def assert_books_agree(*event_ids: str) -> None:
    """`manage.py audit` finds nothing wrong with these events, once settled: seats, stock, money, waiting room."""
    for event_id in event_ids:
        said = io.StringIO()
        try:
            call_command("audit", "--event", event_id, stdout=said)
        except CommandError as error:
            raise AssertionError(f"{error}\n{said.getvalue()}") from error


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """manage.py as an operator calls it."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
