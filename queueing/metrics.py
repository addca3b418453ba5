"""Metrics of the waiting room, read from Redis at scrape time: the scripts count there.

So they are right with any number of processes, and the same in each of them.
"""

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kernel.observability.exposition import register_source
from queueing import inspection, store

# As in lua/admit.lua.
WAIT_BUCKETS = ("5", "15", "30", "60", "120", "300", "600", "1200", "1800", "3600", "7200")
ERROR_BUCKETS = ("0.05", "0.1", "0.2", "0.3", "0.5", "1", "2")


class WaitingRooms(Collector):
    """Of events with users who wait or are active, and for 30 days of those that had some."""

    def collect(self) -> Iterator[Metric]:
        families = self._families()
        active = set(store.active_events())
        for event_id, counters in inspection.read_stats().items():
            _add(families, event_id, counters, is_active=event_id in active)
        yield from families.values()

    @staticmethod
    def _families() -> dict[str, Metric]:
        event = ["event_id"]
        all_families: list[Metric] = [
            GaugeMetricFamily("queue_users", "Users who wait", labels=event),
            GaugeMetricFamily("queue_active_users", "Users who have been admitted", labels=event),
            GaugeMetricFamily("queue_threshold", "How many users may be active at once", labels=event),
            GaugeMetricFamily(
                "queue_seconds_since_admission_round", "Seconds since the last admission round", labels=event
            ),
            CounterMetricFamily("queue_joined", "Users who have joined the queue", labels=event),
            CounterMetricFamily("queue_returned", "Users whose position was restored", labels=event),
            CounterMetricFamily("queue_admissions", "Admissions, by way", labels=[*event, "way"]),
            CounterMetricFamily(
                "queue_dropped", "Users who have lost their position, by cause", labels=[*event, "cause"]
            ),
            CounterMetricFamily("queue_admissions_ended", "Admissions that ended, by cause", labels=[*event, "cause"]),
            HistogramMetricFamily("queue_wait_time_seconds", "How long admitted users have waited", labels=event),
            HistogramMetricFamily(
                "queue_estimate_error_ratio", "Error of estimates, relative to the wait", labels=event
            ),
        ]
        return {family.name: family for family in all_families}


def _add(families: dict[str, Metric], event_id: UUID, counters: dict[str, float], *, is_active: bool) -> None:
    label = str(event_id)

    def add(name: str, labels: list[str], value: float) -> None:
        families[name].add_metric(labels, value)  # type: ignore[attr-defined]  # every family has it

    if is_active:
        with suppress(store.PolicyUnknown):
            queue = store.look(event_id)
            add("queue_users", [label], queue.size)
            add("queue_active_users", [label], queue.active)
            add("queue_threshold", [label], queue.threshold)
            if queue.last_round:
                age = max(0, queue.now - queue.last_round) / 1_000_000
                add("queue_seconds_since_admission_round", [label], age)
    else:
        add("queue_users", [label], 0)
        add("queue_active_users", [label], 0)
    for name, value in counters.items():
        kind, _, which = name.partition(":")
        match kind:
            case "joined" | "returned":
                add(f"queue_{kind}", [label], value)
            case "admitted":
                add("queue_admissions", [label, which], value)
            case "dropped":
                add("queue_dropped", [label, which], value)
            case "ended":
                add("queue_admissions_ended", [label, which], value)
    for kind, family, buckets in (
        ("wait", "queue_wait_time_seconds", WAIT_BUCKETS),
        ("error", "queue_estimate_error_ratio", ERROR_BUCKETS),
    ):
        if f"{kind}_sum" not in counters:
            continue
        cumulative, total = [], 0.0
        for bucket in (*buckets, "inf"):
            total += counters.get(f"{kind}:{bucket}", 0)
            cumulative.append(("+Inf" if bucket == "inf" else bucket, total))
        families[family].add_metric([label], cumulative, counters[f"{kind}_sum"])  # type: ignore[attr-defined]


register_source("waiting_rooms", WaitingRooms())
