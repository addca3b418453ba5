"""The first sale of a database that has just been made: PostgreSQL knows nothing of its tables, and plans blindly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from psycopg import sql

from bench import catalogue
from bench.measuring import Bench, Figure
from bench.workloads import Workload, reserve_of

NAME = "first 3,000 sold"
SOLD = 3_000
DATABASE = "bench_first_sale"


def measure(bench: Bench, *, workers: int) -> Figure:
    """The first reservations of a fresh database. Their limit: as many, later, when the tables have been analysed."""
    patient = replace(bench, seconds=60.0)  # until all of them are answered

    def reserve(start: int) -> Figure:
        seats = range(start + 1, start + SOLD + 1)
        return patient.measure(Workload(NAME, "", lambda buyers: reserve_of(buyers, seats)), buyers, 0, workers=workers)

    with _fresh_database(bench) as url, bench.web(workers, database_url=url) as (buyers, _):
        first = reserve(0)
        with catalogue.connect(url) as connection:
            connection.execute("ANALYZE")
        reserve(SOLD)  # each connection plans again
        informed = reserve(2 * SOLD)
    return replace(first, limit="with statistics", limit_per_second=informed.per_second)


@contextmanager
def _fresh_database(bench: Bench) -> Iterator[str]:
    """Migrated and with the catalogue, never analysed: the URL of another database on the same server."""
    server = bench.service.database_url
    url = urlsplit(server)._replace(path=f"/{DATABASE}").geturl()
    name = sql.Identifier(DATABASE)
    with catalogue.connect(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        bench.service.manage("migrate", "--verbosity", "0", DATABASE_URL=url)
        catalogue.load(url)
        yield url
    finally:
        with catalogue.connect(server) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
