"""What operators see of events."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from events.funnel import Stage, funnels

STEPS: tuple[tuple[Stage, Stage], ...] = (("reserved", "viewed"), ("paid", "reserved"))

event_views = Counter("event_views_total", "Times an event's page was asked for", ["event_id"])


class ConversionFunnel(Collector):
    """`conversion_funnel_rate`, read from Redis when it is scraped: of those at one stage, how many reached the next."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        for event_id, counts in funnels():
            for stage, before in STEPS:
                if counts[before]:
                    family.add_metric([event_id, stage], counts[stage] / counts[before])
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        text = "Of the views of an event how many became reservations, and of these how many were paid"
        return GaugeMetricFamily("conversion_funnel_rate", text, labels=["event_id", "stage"])


REGISTRY.register(ConversionFunnel())
