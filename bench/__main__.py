"""`python -m bench`: see `--help`, and docs/performance.md for what was found."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import django

from bench import catalogue, chart, load, report
from bench.measuring import Bench, Figure
from bench.rounds import measure_all
from bench.service import ROOT, Service


def main() -> None:
    asked = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has them ignored
        signal.signal(number, lambda *_: sys.exit("stopped"))
    directory = ROOT / ".local" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    earlier = report.read(asked.compare) if asked.compare else []
    program = load.build(directory)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    say("starting PostgreSQL and Redis")
    service = Service(directory)
    figures: list[Figure] = []
    memory: dict[str, list[int]] = {}
    try:
        os.environ.update(service.environment)
        django.setup()
        say("loading the catalogue")
        catalogue.refuse_foreign(service.database_url, service.redis_url)
        service.manage("migrate", "--verbosity", "0")
        catalogue.load(service.database_url)
        bench = Bench(service, program, asked.seconds, say)
        with service.running("worker"), service.running("beat"):
            for figure in measure_all(bench, workers=asked.workers, repeats=asked.repeats, only=asked.only):
                figures.append(figure)
                if "web" in service.groups:  # that of the first sale has ended
                    memory["web"] = service.memory("web")
                say(_told(figure))
        about = report.circumstances(_settings_of_servers(service))
    finally:
        service.servers.stop()
    path = asked.output or directory / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    report.write(path, figures, about, memory)
    rows = report.summary(figures)
    path.with_suffix(".svg").write_text(chart.ratios(rows))
    print(report.table(rows, earlier))
    print(f"\n{report.notes(rows, memory)}")
    print(f"{path}\n{path.with_suffix('.svg')}")


def _told(figure: Figure) -> str:
    itself = report.does(figure.per_second, figure.cpu["realtime"] if figure.limit_cpu else 0.0)
    limit = f"ratio {figure.ratio:.2f} to {figure.limit}" if figure.limit else f"{figure.statements} statements"
    return f"{figure.name}: {itself}, p99 {figure.p99:.1f} ms, {limit}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures the service and its limits in one run.")
    parser.add_argument("--workers", default="2,1", help="how many web workers, one table for each (2,1)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are taken (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run takes (3)")
    parser.add_argument("--only", default="", help="only workloads whose names contain one of these: reserve,map")
    parser.add_argument("--quick", action="store_true", help="one short round with two workers, one or two minutes")
    parser.add_argument("--compare", type=Path, metavar="EARLIER.json", help="shows an earlier result, too")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where the result goes (.local/bench)")
    asked = parser.parse_args()
    if asked.quick:
        asked.workers, asked.repeats, asked.seconds = "2", 1, 1.2
    asked.workers = [int(count) for count in asked.workers.split(",")]
    asked.only = [part for part in asked.only.split(",") if part]
    return asked


def _settings_of_servers(service: Service) -> dict[str, str]:
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    with catalogue.connect(service.database_url) as connection:
        found = {name: str((connection.execute(f"SHOW {name}").fetchone() or ("",))[0]) for name in names}
    return {f"postgresql {name}": value for name, value in found.items()}


main()
