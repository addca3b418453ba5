"""How PostgreSQL and Redis are asked past their clients' detours (kernel.db.sql, kernel.redis.client)."""

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import hiredis
import pytest
from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from redis.exceptions import RedisError

from events.models import Event
from kernel.db.sql import _states, fetch, fetch_all, fetch_one, violated_constraint
from kernel.redis.client import execute_packed
from tests.support.harness import HALL, Database

EVERY_TYPE = """
SELECT %(id)s::uuid AS id, %(id)s::uuid AS again, %(ids)s::uuid[] AS ids, %(number)s::int AS number, %(text)s::text AS text,
       %(moment)s::timestamptz AS moment, '{"a": [1]}'::jsonb AS json, NULL::jsonb AS no_json, '100 %%' AS percent
"""


@pytest.fixture(autouse=True)
def no_connection_of_django(world: Database) -> None:
    connections.close_all()


def test_values_go_in_and_come_out_the_same_with_and_without_a_transaction(world: Database) -> None:
    given = {"id": uuid4(), "ids": [uuid4(), uuid4()], "number": 7, "text": "왕복 '%s' $1", "moment": datetime.now(UTC)}
    wanted = {**given, "again": given["id"], "json": {"a": [1]}, "no_json": None, "percent": "100 %"}
    for _ in range(4):  # unprepared, being prepared, prepared
        assert fetch_all(EVERY_TYPE, given) == [wanted]
    with transaction.atomic():
        assert fetch_all(EVERY_TYPE, given) == [wanted]
    connections.close_all()
    for _ in range(3):  # other types for the same statement
        empty = {**given, "ids": [], "text": None, "number": 2**31 - 1}
        assert fetch_one(EVERY_TYPE, empty) == {**wanted, **empty}


def test_a_statement_is_prepared_once_it_was_seen_before(world: Database) -> None:
    pool: Any = connections["default"].pool  # type: ignore[attr-defined]
    with pool.connection() as connection:  # of the pool each one counts for itself
        for _ in range(5):
            fetch(connection, "SELECT %(n)s::int AS n, 'seen before' AS marker", {"n": 1})
        known = "SELECT FROM pg_prepared_statements WHERE statement LIKE '%%seen before%%' AND name LIKE 'stmt_%%'"
        assert fetch(connection, known, {}) == [{}]


def prepared_as(connection: Any, marker: str) -> list[str]:
    known = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%%' || %(marker)s || '%%' ORDER BY name"
    return [row["name"] for row in fetch(connection, known, {"marker": marker})]


def test_a_statement_has_the_same_name_on_all_connections_whatever_came_before_it(world: Database) -> None:
    """Behind a pooling proxy several clients prepare on one connection: one name must never mean two statements."""
    pool: Any = connections["default"].pool  # type: ignore[attr-defined]
    with pool.connection() as one, pool.connection() as another:
        for connection, order in ((one, "abc"), (another, "cba")):
            for marker in order * 2:
                fetch(connection, f"SELECT %(n)s AS n, 'named by {marker}' AS marker", {"n": 1})
        for marker in "abc":
            (name,) = prepared_as(one, f"named by {marker}")
            assert prepared_as(another, f"named by {marker}") == [name]
        for _ in range(2):
            fetch(one, "SELECT %(n)s AS n, 'named by a' AS marker", {"n": "of another type"})
        assert len(set(prepared_as(one, "named by"))) == 4


def test_what_another_client_has_prepared_on_the_same_connection_is_used(world: Database) -> None:
    statement = "SELECT %(n)s::int AS n, 'of another client' AS marker"
    pool: Any = connections["default"].pool  # type: ignore[attr-defined]
    with pool.connection() as connection:
        for n in range(8):
            if n % 4 == 0:
                _states.pop(connection, None)  # as a process that has not seen it would
            assert fetch(connection, statement, {"n": n})[0]["n"] == n
        assert len(prepared_as(connection, "of another client")) == 1


def test_nothing_is_prepared_where_the_settings_say_so(world: Database) -> None:
    pool: Any = connections["default"].pool  # type: ignore[attr-defined]
    with pool.connection() as connection:
        connection.prepare_threshold = None
        for _ in range(5):
            assert fetch(connection, "SELECT 1 AS one, 'never prepared' AS marker", {})[0]["one"] == 1
        known = "SELECT FROM pg_prepared_statements WHERE statement LIKE '%%never prepared%%'"
        assert fetch(connection, known, {}) == []
        connection.prepare_threshold = 2


def test_what_was_prepared_may_be_taken_back_at_any_time(world: Database) -> None:
    """As psycopg does it after a rollback, for all who use the connection."""
    connections["default"].close_pool()  # of connections on which psycopg has prepared statements of its own
    statement = "SELECT %(n)s::int AS n, 'taken back' AS marker"
    for n in range(12):
        assert fetch_one(statement, {"n": n})["n"] == n
        if n % 4 == 3:
            fetch_all("DEALLOCATE ALL", {})
    for n in range(12):
        assert fetch_one(statement, {"n": n})["n"] == n
        with transaction.atomic():
            assert Event.objects.filter(id=HALL).exists()
            transaction.set_rollback(True)
        connections.close_all()


def test_a_statement_without_rows(world: Database) -> None:
    for _ in range(3):
        assert fetch_all("UPDATE events SET title = title WHERE id = %(id)s", {"id": UUID(int=0)}) == []


def test_rows_without_columns_are_rows(world: Database) -> None:
    for _ in range(3):
        assert fetch_all("SELECT FROM generate_series(1, 2)", {}) == [{}, {}]
    with transaction.atomic():
        assert fetch_all("SELECT FROM generate_series(1, 2)", {}) == [{}, {}]


def test_errors_are_those_of_django(world: Database) -> None:
    for _ in range(3):
        with pytest.raises(DataError, match="division by zero"):
            fetch_all("SELECT 1 / %(by)s::int AS n", {"by": 0})
        with pytest.raises(IntegrityError) as refused:
            fetch_all("INSERT INTO seats (event_id) VALUES (%(event_id)s)", {"event_id": UUID(HALL)})
        assert violated_constraint(refused.value) is None
        with pytest.raises(IntegrityError) as refused:
            fetch_all("UPDATE seats SET status = 'nonsense' WHERE event_id = %(event_id)s", {"event_id": UUID(HALL)})
        assert violated_constraint(refused.value) == "seat_status_known"
    with pytest.raises(DataError, match="NUL"):
        fetch_all("SELECT %(text)s::text AS text", {"text": "a\x00b"})


def test_a_connection_that_is_lost_is_an_operational_error_and_not_used_again(world: Database) -> None:
    for _ in range(3):
        with pytest.raises(OperationalError):
            fetch_all("SELECT pg_terminate_backend(pg_backend_pid())", {})
        for _ in range(20):  # more than the pool has connections
            assert fetch_one("SELECT 1 AS one", {}) == {"one": 1}


def test_others_go_on_while_postgresql_is_asked(world: Database) -> None:
    counted = 0

    def wait() -> None:
        fetch_all("SELECT pg_sleep(0.5)", {})

    asking = threading.Thread(target=wait)
    asking.start()
    while asking.is_alive():
        counted += 1
    assert counted > 1000  # a handful, if the interpreter were held


def asked_by(threads: int, times: int) -> list[tuple[bytes, Any]]:
    """What each of so many threads sent, one after the other, and what came back."""
    heard: list[tuple[bytes, Any]] = []

    def echo(who: int) -> None:
        for n in range(times):
            sent = b"%d-%d" % (who, n)
            try:
                heard.append((sent, execute_packed(hiredis.pack_command(("ECHO", sent)))))
            except (OSError, RedisError) as error:
                heard.append((sent, error))

    asking = [threading.Thread(target=echo, args=(who,)) for who in range(threads)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return heard


def test_threads_that_ask_redis_together_get_their_own_replies(world: Database, redis: Any) -> None:
    heard = asked_by(threads=8, times=200)
    assert len(heard) == 1600
    assert all(sent == reply for sent, reply in heard)


def test_nobody_gets_the_reply_of_another_when_connections_are_cut(world: Database, redis: Any) -> None:
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.005):
            redis.client_kill_filter(skipme=True, _type="normal")

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        heard = asked_by(threads=8, times=200)
    finally:
        stop.set()
        cutting.join()
    assert all(sent == reply for sent, reply in heard if not isinstance(reply, Exception))
    assert sum(sent == reply for sent, reply in heard) > len(heard) / 2


def test_a_refused_command_is_refused_for_its_sender_only(world: Database, redis: Any) -> None:
    replies: dict[int, Any] = {}

    def send(n: int) -> None:
        command = ("NO-SUCH-COMMAND",) if n == 3 else ("ECHO", str(n))
        replies[n] = execute_packed(hiredis.pack_command(command))

    asking = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert isinstance(replies.pop(3), hiredis.ReplyError)
    assert replies == {n: str(n).encode() for n in (0, 1, 2, 4, 5)}


def test_passes_are_signed_as_django_signs(settings: Any) -> None:
    """So that those given before an upgrade stay valid."""
    from django.core.signing import Signer

    from queueing.passes import read_pass, sign_pass
    from queueing.states import QueuePass

    event, user = uuid4(), uuid4()
    given = sign_pass(event, user, epoch=1, now=2, until=3)
    assert given == "1.2.3~" + Signer(salt="queueing.pass", sep="~").signature(f"{event}.{user}.1.2.3")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another-" * 8, [settings.SECRET_KEY]
    assert read_pass(given, event, user) == QueuePass(1, 2, 3)
    settings.SECRET_KEY_FALLBACKS = []
    assert read_pass(given, event, user) is None
