"""What operators see of seats and stock, read when it is scraped."""

import time
from collections.abc import Iterable

from django.db import connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernel.observability.exposition import register_source
from seats.selectors import places_on_sale


class PlacesOnSale(Collector):
    """Seats and stock of the events on sale, as PostgreSQL has them; remembered for `SECONDS`."""

    SECONDS = 5.0

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        if time.monotonic() - self._read_at > self.SECONDS:
            try:
                self._families = self._read()
            finally:
                connection.close()  # back to the pool: this thread serves no requests, which would do it
            self._read_at = time.monotonic()
        return self._families

    @staticmethod
    def _read() -> list[Metric]:
        event, ticket_type = ["event_id"], ["event_id", "ticket_type_id"]
        seats = {
            status: GaugeMetricFamily(f"seats_{status}", f"Seats of an event on sale that are {status}", labels=event)
            for status in ("available", "locked", "sold")
        }
        left = GaugeMetricFamily("tickets_available", "Tickets that are left, of an event on sale", labels=ticket_type)
        offered = GaugeMetricFamily("tickets_offered", "Tickets that an event on sale has in all", labels=ticket_type)
        for place in places_on_sale():
            event_id = str(place["event_id"])
            if place["seats"]:
                for status, family in seats.items():
                    family.add_metric([event_id], place["seats"].get(status, 0))
            for ticket in place["tickets"] or ():
                left.add_metric([event_id, ticket["id"]], ticket["available"])
                offered.add_metric([event_id, ticket["id"]], ticket["total"])
        return [*seats.values(), left, offered]


register_source("places", PlacesOnSale())
