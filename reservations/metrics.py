"""What operators see of reservations; counted by `reservations.effects`."""

from prometheus_client import Counter, Gauge

seats_reserved = Counter("seats_reserved_total", "Seats locked for a buyer", ["event_id"])


tickets_reserved = Counter("tickets_reserved_total", "Tickets taken from stock for a buyer", ["event_id"])


reservations_confirmed = Counter("reservations_confirmed_total", "Reservations that were paid", ["event_id"])


reservations_ended = Counter("reservations_ended_total", "Reservations that gave their places back", ["reason"])


invariant_violations = Gauge(
    "invariant_violations",
    "What the last audit found that must never be, by check",
    ["check"],
    multiprocess_mode="mostrecent",
)
