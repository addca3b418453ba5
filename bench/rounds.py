"""Which workloads are run, and how often."""

from collections.abc import Iterator

from bench import catalogue, first_sale, sockets
from bench.measuring import Bench, Figure
from bench.sockets import Sockets
from bench.workloads import CROWD, WORKLOADS, Buyers, Workload


def measure_all(bench: Bench, *, workers: list[int], repeats: int, only: list[str]) -> Iterator[Figure]:
    """Each workload `repeats` times for each number of workers, a whole round after the other; sockets, which have nothing
    to do with that number, in the rounds with the first of them.
    """

    def is_wanted(name: str) -> bool:
        return not only or any(part in name for part in only)

    chosen = [workload for workload in WORKLOADS if is_wanted(workload.name)]
    crowd_of_sockets = Sockets(bench) if is_wanted(sockets.NAME) else None
    for count in workers:
        if is_wanted(first_sale.NAME):
            catalogue.reset(bench.service.database_url, bench.service.redis_url)
            for _ in range(repeats):
                yield first_sale.measure(bench, workers=count)
                catalogue.reset(bench.service.database_url, bench.service.redis_url)
        with bench.web(count) as (buyers, empty):
            warm(bench, chosen, buyers)
            for repeat in range(repeats):
                bench.say(f"{count} workers, round {repeat + 1} of {repeats}")
                catalogue.reset(bench.service.database_url, bench.service.redis_url)
                for workload in chosen:
                    yield bench.measure(workload, buyers, empty, workers=count)
                if is_wanted(f"{CROWD} buyers, one seat"):
                    catalogue.reset(bench.service.database_url, bench.service.redis_url)
                    yield bench.crowd(buyers, workers=count)
                if crowd_of_sockets and count == workers[0]:
                    catalogue.reset(bench.service.database_url, bench.service.redis_url)
                    yield crowd_of_sockets.measure(buyers.port)


def warm(bench: Bench, chosen: list[Workload], buyers: Buyers) -> None:
    """Connections, prepared statements, scripts: a production process has run for longer than a second."""
    catalogue.reset(bench.service.database_url, bench.service.redis_url)
    for workload in chosen:
        prepared = workload.prepare(buyers)
        bench.run(buyers.port, prepared.requests[:2000], seconds=0.5, once=prepared.once)
