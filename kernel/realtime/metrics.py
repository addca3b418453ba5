"""What operators see of live connections."""

from prometheus_client import Counter, Gauge, Histogram

live_sockets = Gauge("live_sockets", "Open sockets", ["kind"], multiprocess_mode="livesum")
live_messages = Counter("live_messages_total", "Frames handed to listeners", ["kind"])
live_slow = Counter("live_slow_clients_total", "Clients too slow for what they are told, by what was done", ["outcome"])
live_closed = Counter("live_closed_total", "Sockets closed by us, by code", ["code"])
live_redis_losses = Counter("live_redis_losses_total", "Times the subscription to Redis was lost")
live_fanout = Histogram(
    "live_fanout_seconds",
    "From the arrival of a publication until it was handed to the last listener",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
