"""What operators see of the waiting room: read from Redis when it is scraped, since the scripts count there.

So the figures are right with any number of processes, and whoever is scraped tells the same.
"""

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kernel.observability.exposition import read_at_scrape
from queueing import waiting_room
from queueing.waiting_room import PolicyUnknown

# As in lua/admit.lua.
WAIT_BUCKETS = ("5", "15", "30", "60", "120", "300", "600", "1200", "1800", "3600", "7200")
ERROR_BUCKETS = ("0.05", "0.1", "0.2", "0.3", "0.5", "1", "2")


class WaitingRooms(Collector):
    """Events that have a line or somebody inside, and for 30 days those that had."""

    def collect(self) -> Iterator[Metric]:
        families = self._families()
        busy = set(waiting_room.events())
        for event_id, counted in waiting_room.stats().items():
            _add(families, event_id, counted, is_busy=event_id in busy)
        yield from families.values()

    @staticmethod
    def _families() -> dict[str, Metric]:
        event = ["event_id"]
        found: list[Metric] = [
            GaugeMetricFamily("queue_users", "People who wait in line", labels=event),
            GaugeMetricFamily("queue_active_users", "People who have been let in", labels=event),
            GaugeMetricFamily("queue_threshold", "How many may be inside at once", labels=event),
            GaugeMetricFamily("queue_seconds_since_tick", "Seconds since the line was last ticked", labels=event),
            CounterMetricFamily("queue_joined", "People who have taken a place in line", labels=event),
            CounterMetricFamily("queue_returned", "People who have got a kept or lost place back", labels=event),
            CounterMetricFamily("queue_admissions", "People let in, by the way they came", labels=[*event, "way"]),
            CounterMetricFamily(
                "queue_dropped", "People who lost their place in line, by cause", labels=[*event, "cause"]
            ),
            CounterMetricFamily("queue_admissions_ended", "Admissions that ended, by cause", labels=[*event, "cause"]),
            HistogramMetricFamily("queue_wait_time_seconds", "How long those waited who were let in", labels=event),
            HistogramMetricFamily(
                "queue_estimate_error_ratio", "How far estimates were off, as a part of the wait", labels=event
            ),
        ]
        return {family.name: family for family in found}


def _add(families: dict[str, Metric], event_id: UUID, counted: dict[str, float], *, is_busy: bool) -> None:
    label = str(event_id)

    def add(name: str, labels: list[str], value: float) -> None:
        families[name].add_metric(labels, value)  # type: ignore[attr-defined]  # every family has it

    if is_busy:
        with suppress(PolicyUnknown):
            found = waiting_room.look(event_id)
            add("queue_users", [label], found.size)
            add("queue_active_users", [label], found.inside)
            add("queue_threshold", [label], found.threshold)
            if found.last_tick:
                add("queue_seconds_since_tick", [label], max(0, found.now - found.last_tick) / 1_000_000)
    else:
        add("queue_users", [label], 0)
        add("queue_active_users", [label], 0)
    for name, value in counted.items():
        kind, _, which = name.partition(":")
        match kind:
            case "joined" | "returned":
                add(f"queue_{kind}", [label], value)
            case "in":
                add("queue_admissions", [label, which], value)
            case "dropped":
                add("queue_dropped", [label, which], value)
            case "out":
                add("queue_admissions_ended", [label, which], value)
    for kind, family, buckets in (
        ("wait", "queue_wait_time_seconds", WAIT_BUCKETS),
        ("error", "queue_estimate_error_ratio", ERROR_BUCKETS),
    ):
        if f"{kind}_sum" not in counted:
            continue
        cumulative, total = [], 0.0
        for bucket in (*buckets, "inf"):
            total += counted.get(f"{kind}:{bucket}", 0)
            cumulative.append(("+Inf" if bucket == "inf" else bucket, total))
        families[family].add_metric([label], cumulative, counted[f"{kind}_sum"])  # type: ignore[attr-defined]


read_at_scrape("waiting_rooms", WaitingRooms())
