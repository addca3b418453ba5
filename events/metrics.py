"""What operators see of events."""

from prometheus_client import Counter

event_views = Counter("event_views_total", "Times an event's page was asked for", ["event_id"])
