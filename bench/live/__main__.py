"""`python -m bench.live`: see `--help`, and docs/live.md for what was found."""

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench import catalogue
from bench.live import report, viewers
from bench.live.changes import EVENT
from bench.live.measuring import LiveBench, LiveFigure
from bench.live.servers import node_modules, servers
from bench.report import circumstances
from bench.service import ROOT, Service

COMPARED = 500, 5.0  # a crowd that a plain consumer can keep up with, too
QUICK = {"limit", "ours", "plain consumer"}


def main() -> None:
    asked = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has them ignored
        signal.signal(number, lambda *_: sys.exit("stopped"))
    directory = ROOT / ".local" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    program, node = viewers.build(directory), node_modules(directory / "node")
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    say("starting PostgreSQL and Redis" if node else "starting PostgreSQL and Redis (no Node, or no `ws` for it)")
    service, figures = Service(directory), list[LiveFigure]()
    try:
        say("loading the catalogue")
        catalogue.refuse_foreign(service.database_url, service.redis_url)
        service.manage("migrate", "--verbosity", "0")
        catalogue.load(service.database_url)
        catalogue.reset(service.database_url, service.redis_url)
        os.environ["REDIS_URL"] = service.redis_url
        chosen = [server for server in servers(EVENT, node) if not asked.only or server.name in asked.only]
        crowds = [(*COMPARED, server) for server in chosen]
        crowds += [(asked.sockets, asked.rate, server) for server in chosen if server.name in asked.crowd]
        with service.running("web", workers=1) as web:
            bench = LiveBench(service, program, catalogue.tokens(service.environment["JWT_SECRET"]), web)
            for repeat in range(asked.repeats):
                for sockets, rate, server in crowds:
                    found = bench.measure(server, sockets=sockets, rate=rate, seconds=asked.seconds)
                    figures.append(found)
                    say(
                        f"{repeat + 1} of {asked.repeats}, {server.name}, {sockets:,} sockets, {rate:g}/s:"
                        f" {found.cpu:.1f} us, p99 {found.p99:.0f} ms, {found.missed} missed,"
                        f" {found.per_socket / 1024:.1f} KiB a socket"
                    )
    finally:
        service.servers.stop()
    rows = report.summary(figures)
    path = asked.output or directory / f"live-{time.strftime('%Y%m%d-%H%M%S')}.json"
    result = {"about": circumstances({}), "rows": rows, "runs": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".svg").write_text(report.chart(rows))
    print(report.table(rows))
    print(f"\n{path}\n{path.with_suffix('.svg')}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-live", description="Measures what it costs to deliver each change to open sockets."
    )
    parser.add_argument("--sockets", type=int, default=2000, help="of the crowd (2000)")
    parser.add_argument("--rate", type=float, default=20.0, help="changes a second that it receives (20)")
    parser.add_argument(
        "--crowd", default="limit,ours,ws on Node", help="who is measured with it (limit,ours,ws on Node)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are taken (5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each run takes (8)")
    parser.add_argument("--only", default="", help="only these servers: limit;ours;plain consumer")
    parser.add_argument("--quick", action="store_true", help="one short round of what matters, about a minute")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where the result goes (.local/bench)")
    asked = parser.parse_args()
    asked.only = {name.strip() for name in asked.only.split(";") if name.strip()}
    asked.crowd = {name.strip() for name in asked.crowd.split(",")}
    if asked.quick:
        asked.repeats, asked.seconds, asked.only = 1, 4.0, asked.only or QUICK
    return asked


main()
