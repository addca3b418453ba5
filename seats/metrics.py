"""Metrics of seats and stock, read at scrape time."""

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from kernel.observability.database_collector import DatabaseCollector
from kernel.observability.exposition import register_source
from seats.selectors import availability_on_sale


class AvailabilityCollector(DatabaseCollector):
    """Seats and stock of the events on sale."""

    def read(self) -> list[Metric]:
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
