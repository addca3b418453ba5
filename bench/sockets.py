"""The workload of open sockets: `realtime` delivers each change to a crowd, and so does a server that does nothing else.

The servers and the crowd are those of `make bench-live`, which has more of both.
"""

from bench import measuring
from bench.live import servers, viewers
from bench.live.changes import EVENT
from bench.live.measuring import LiveBench, LiveFigure
from bench.live.servers import Server
from bench.workloads import LimitName

NAME = "sockets"
SOCKETS, RATE = 1000, 20.0  # and changes a second that each of them receives


class Sockets:
    def __init__(self, bench: measuring.Bench) -> None:
        self._bench = bench
        self._program = viewers.build(bench.service.directory)
        node = servers.node_modules(bench.service.directory / "node")
        self._servers = {server.name: server for server in servers.servers(EVENT, node)}
        self._limit: LimitName = "ws on Node" if node else "raw broadcast"
        if node is None:
            bench.say("sockets: no Node, or no `ws` for it: their limit is a raw broadcast on uvicorn instead")

    def measure(self, web: int) -> measuring.Figure:
        """`web`: the port on which changes are made. One `realtime` process, however many workers `web` has."""
        limit = self._crowd(self._servers[servers.RAW if self._limit == "raw broadcast" else self._limit], web)
        found = self._crowd(self._servers[servers.OURS], web)
        return measuring.Figure(
            name=NAME,
            workers=0,
            per_second=found.delivered_per_second,
            p50=found.p50,
            p99=found.p99,
            slowest=found.slowest,
            cpu={"realtime": found.cpu, "load": found.client_cpu},
            strangers=0.0,
            limit=self._limit,
            limit_per_second=limit.delivered_per_second,
            limit_cpu=limit.cpu,
            bytes_per_answer=round(found.bytes_per_frame),
            wrong=found.missed + found.closed,
            empty=found.empty,
            per_socket=found.per_socket,
        )

    def _crowd(self, server: Server, web: int) -> LiveFigure:
        bench = LiveBench(self._bench.service, self._program, self._bench.tokens, web)
        return bench.measure(server, sockets=SOCKETS, rate=RATE, seconds=self._bench.seconds)
