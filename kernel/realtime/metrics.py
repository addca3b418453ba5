"""Metrics of live connections."""

from prometheus_client import Counter, Gauge, Histogram

websocket_connections = Gauge(
    "ticketservice_websocket_connections", "Open connections", ["kind"], multiprocess_mode="livesum"
)
websocket_messages = Counter(
    "ticketservice_websocket_messages_total", "Publications handed to subscribers, one for each subscriber", ["kind"]
)
websocket_delivery_failures = Counter(
    "ticketservice_websocket_delivery_failures_total",
    "Subscribers that failed on a publication, which is a bug",
    ["kind"],
)
websocket_slow_clients = Counter(
    "ticketservice_websocket_slow_clients_total",
    "Clients that did not keep up: told to fetch again (refetch), or closed",
    ["outcome"],
)
websocket_closed = Counter(
    "ticketservice_websocket_closed_total", "Connections closed by the server, by code", ["code"]
)
websocket_subscription_losses = Counter(
    "ticketservice_websocket_subscription_losses_total", "Times the subscription to Redis was lost"
)
websocket_fanout = Histogram(
    "ticketservice_websocket_fanout_seconds",
    "From the arrival of a publication until it was handed to the last subscriber",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
