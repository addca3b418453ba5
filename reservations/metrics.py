"""Metrics of reservations, incremented by `reservations.effects`."""

from prometheus_client import Counter, Gauge

seats_reserved = Counter("seats_reserved_total", "Seats locked for a buyer", ["event_id"])
tickets_reserved = Counter("tickets_reserved_total", "Tickets taken from stock for a buyer", ["event_id"])
reservations_confirmed = Counter("reservations_confirmed_total", "Reservations that were paid", ["event_id"])
reservations_ended = Counter(
    "reservations_ended_total", "Reservations that were cancelled, expired or refunded", ["reason"]
)
waitlist_offers = Counter("waitlist_offers_total", "Places offered to somebody on the waiting list", ["event_id"])
invariant_violations = Gauge(
    "invariant_violations",
    "Violations that the last audit found, by check",
    ["check"],
    multiprocess_mode="mostrecent",
)
