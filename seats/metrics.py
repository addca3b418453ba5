"""Metrics of seats and stock, read at scrape time."""

import time
from collections.abc import Iterable

from django.db import connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kernel.observability.exposition import register_source
from seats.selectors import availability_on_sale


class AvailabilityCollector(Collector):
    """Seats and stock of the events on sale, read from PostgreSQL at most once in `SECONDS`."""

    SECONDS = 5.0

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        if time.monotonic() - self._read_at > self.SECONDS:
            try:
                self._families = self._read()
            finally:
                connection.close()  # this thread serves no requests, after which Django would return it to the pool
            self._read_at = time.monotonic()
        return self._families

    @staticmethod
    def _read() -> list[Metric]:
        of_event, of_ticket_type = ["event_id"], ["event_id", "ticket_type_id"]
        seats = {
            status: GaugeMetricFamily(
                f"seats_{status}", f"Seats of an event on sale that are {status}", labels=of_event
            )
            for status in ("available", "locked", "sold")
        }
        left = GaugeMetricFamily(
            "tickets_available", "Tickets that are available, of an event on sale", labels=of_ticket_type
        )
        offered = GaugeMetricFamily("tickets_offered", "All tickets of an event on sale", labels=of_ticket_type)
        for event in availability_on_sale():
            event_id = str(event["event_id"])
            if event["seats"]:
                for status, family in seats.items():
                    family.add_metric([event_id], event["seats"].get(status, 0))
            for ticket in event["tickets"] or ():
                left.add_metric([event_id, ticket["id"]], ticket["available"])
                offered.add_metric([event_id, ticket["id"]], ticket["total"])
        return [*seats.values(), left, offered]


register_source("places", AvailabilityCollector())
