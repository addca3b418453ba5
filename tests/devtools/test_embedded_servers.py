"""The embedded servers, for real: each test starts PostgreSQL and Redis in a directory of its own."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import redis

from devtools.embedded import DATABASE, EmbeddedServer, EmbeddedServerError, Servers, development_environment, is_free

pytestmark = [pytest.mark.slow, pytest.mark.long]

MANAGE = Path(__file__).parents[2] / "manage.py"
SET_BY_USER = ("DATABASE_URL", "REDIS_URL", "AUTH_SERVICE_URL", "JWT_SECRET", "JWT_PUBLIC_KEY", "DEBUG", "SECRET_KEY")


@pytest.fixture
def local() -> Iterator[Path]:
    """Not a `tmp_path`: another pytest that starts closes those to PostgreSQL's own user."""
    with TemporaryDirectory() as directory:
        yield Path(directory, "local")


@pytest.fixture
def servers(local: Path) -> Iterator[Servers]:
    servers = Servers(local)
    yield servers
    servers.stop(everything=True)


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, servers: Servers) -> None:
    monkeypatch.setenv("LOCAL_DIR", str(servers.directory))
    for name in SET_BY_USER:
        monkeypatch.delenv(name, raising=False)


def pids(servers: Servers) -> tuple[int | None, int | None]:
    return servers.postgres.pid(), servers.redis.pid()


def remember(servers: Servers, value: str) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS memory (value text)")
        connection.execute("INSERT INTO memory VALUES (%s)", [value])
    with redis.Redis.from_url(servers.redis_url) as client:
        client.rpush("memory", value)


def recall(servers: Servers) -> tuple[list[str], list[str]]:
    with psycopg.connect(servers.database_url) as connection:
        rows = [row[0] for row in connection.execute("SELECT value FROM memory")]
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        return rows, client.lrange("memory", 0, -1)


def test_starts_both_in_an_empty_directory(servers: Servers) -> None:
    servers.start()

    assert servers.started == {"postgres", "redis"}
    with psycopg.connect(servers.database_url) as connection:
        assert connection.info.dbname == DATABASE
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SELECT lower('ÄÉ')").fetchone() == ("äé",)
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_listens_on_the_loopback_only(servers: Servers) -> None:
    servers.start()

    with psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_for_tests_nothing_is_synced(local: Path) -> None:
    servers = Servers(local, durable=False)
    servers.start()
    try:
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
        with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
            assert client.config_get("appendonly") == {"appendonly": "no"}
    finally:
        servers.stop()


def test_a_second_start_joins_and_leaves_running_what_it_did_not_start(servers: Servers) -> None:
    servers.start()
    running = pids(servers)
    second = Servers(servers.directory)

    second.start()
    second.stop()

    assert second.started == set()
    assert pids(servers) == running
    assert (second.database_url, second.redis_url) == (servers.database_url, servers.redis_url)


def test_commands_started_at_once_start_each_server_once(servers: Servers) -> None:
    several = [Servers(servers.directory) for _ in range(4)]
    threads = [threading.Thread(target=one.start) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(name for one in several for name in one.started) == ["postgres", "redis"]
    assert len({one.database_url for one in several}) == 1
    remember(servers, "works")


def test_after_kill_9_both_start_again_with_their_data(servers: Servers) -> None:
    servers.start()
    remember(servers, "before")
    urls = servers.database_url, servers.redis_url
    with psycopg.connect(servers.database_url):  # an open session outlives the postmaster by a moment
        for server in (servers.postgres, servers.redis):
            pid = server.pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        again = Servers(servers.directory)
        again.start()

    assert again.started == {"postgres", "redis"}
    assert (again.database_url, again.redis_url) == urls
    assert recall(again) == (["before"], ["before"])


def test_redis_alone_can_be_stopped_and_started(servers: Servers) -> None:
    servers.start()
    remember(servers, "before")

    servers.stop_redis()
    with redis.Redis.from_url(servers.redis_url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert servers.postgres.pid() is not None
    servers.start_redis()

    assert recall(servers) == (["before"], ["before"])


def test_stop_ends_both_and_the_data_stays(servers: Servers) -> None:
    servers.start()
    remember(servers, "before")

    servers.stop()
    assert pids(servers) == (None, None)
    assert is_free(servers.postgres.port)
    assert is_free(servers.redis.port)

    servers.start()
    assert recall(servers) == (["before"], ["before"])


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_pid_file_that_names_a_stranger_is_not_believed(servers: Servers, name: str) -> None:
    servers.start()
    servers.stop()
    server: EmbeddedServer = getattr(servers, name)
    server.pid_file.write_text(f"{os.getpid()}\n")

    assert server.pid() is None
    servers.start()

    assert server.pid() not in (None, os.getpid())


def test_a_port_taken_by_somebody_else_is_given_up(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtools.embedded.PORT_SECONDS", 0.2)
    servers.start()
    remember(servers, "before")
    servers.stop()
    ports = servers.postgres.port, servers.redis.port
    other = Servers(servers.directory.parent / "other")
    (other.directory / "ports.json").write_text(json.dumps({"postgres": ports[1], "redis": ports[0]}))
    other.start()
    try:
        urls = servers.start_needed({})
        assert servers.postgres.port not in ports
        assert servers.redis.port not in ports
        assert urls == {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
        assert recall(servers) == (["before"], ["before"])
    finally:
        other.stop()


def test_a_server_that_does_not_start_shows_its_log(servers: Servers) -> None:
    servers.start_postgres()
    servers.stop_postgres()
    (servers.postgres.directory / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        servers.start_postgres()


def test_an_interrupted_creation_leaves_nothing_in_the_way(servers: Servers) -> None:
    half_made = servers.directory / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    servers.start_postgres()

    assert servers.postgres.ping()


@pytest.mark.usefixtures("nothing_set")
def test_the_development_environment_is_made_once(servers: Servers) -> None:
    environment = development_environment()

    assert environment == development_environment()
    assert environment["DEBUG"] == "true"
    assert environment["DATABASE_URL"] == servers.database_url
    assert environment["REDIS_URL"] == servers.redis_url
    made = [environment[name] for name in ("SECRET_KEY", "JWT_SECRET", "INTERNAL_API_TOKEN")]
    assert len(set(made)) == 3
    assert all(len(secret) >= 50 for secret in made)
    assert stat.S_IMODE((servers.directory / "secrets.json").stat().st_mode) == 0o600
    assert pids(servers) == (None, None)


@pytest.mark.usefixtures("nothing_set")
def test_only_the_server_that_is_not_set_is_provided(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example.org/tickets")

    assert "DATABASE_URL" not in development_environment()
    assert servers.start_needed(os.environ) == {"REDIS_URL": servers.redis_url}
    assert servers.postgres.pid() is None
    assert servers.redis.pid() is not None


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("name", ["AUTH_SERVICE_URL", "JWT_SECRET", "JWT_PUBLIC_KEY"])
def test_a_configured_token_check_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "set by the user")

    assert "JWT_SECRET" not in development_environment()


@pytest.mark.usefixtures("nothing_set")
def test_the_command_prints_exports_and_leaves_the_servers_running(servers: Servers) -> None:
    script = f'eval "$({sys.executable} {MANAGE} embedded)" && echo "$DATABASE_URL $REDIS_URL $DEBUG"'
    printed = subprocess.run(["sh", "-c", script], text=True, capture_output=True, check=True).stdout

    assert printed.split() == [servers.database_url, servers.redis_url, "true"]
    remember(servers, "works")

    stopped = subprocess.run([sys.executable, MANAGE, "embedded", "--stop"], text=True, capture_output=True, check=True)
    assert stopped.stdout == ""
    assert pids(servers) == (None, None)


@pytest.mark.usefixtures("nothing_set")
def test_the_command_starts_nothing_when_both_are_set(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example.org/tickets")
    monkeypatch.setenv("REDIS_URL", "redis://redis.example.org")
    printed = subprocess.run([sys.executable, MANAGE, "embedded"], text=True, capture_output=True, check=True).stdout

    assert "export DATABASE_URL=postgresql://db.example.org/tickets\n" in printed
    assert "export REDIS_URL=redis://redis.example.org\n" in printed
    assert pids(servers) == (None, None)
