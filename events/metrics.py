"""What operators see of events."""

from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from events.funnel import Stage, funnels
from kernel.observability.exposition import register_source

STEPS: tuple[tuple[Stage, Stage], ...] = (("reserved", "viewed"), ("paid", "reserved"))

event_views = Counter("event_views_total", "Times an event's page was asked for", ["event_id"])


class ConversionFunnel(Collector):
    """`conversion_funnel_rate`, read from Redis when it is scraped: of those at one stage, how many reached the next."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        text = "Of the views of an event how many became reservations, and of these how many were paid"
        family = GaugeMetricFamily("conversion_funnel_rate", text, labels=["event_id", "stage"])
        for event_id, counts in funnels():
            for stage, before in STEPS:
                if counts[before]:
                    family.add_metric([event_id, stage], counts[stage] / counts[before])
        yield family


register_source("funnels", ConversionFunnel())
