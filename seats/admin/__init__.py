"""Organisers' pages. Events are administrated here and not in `events`, because saving one makes seats, which are ours."""

from seats.admin import events, layouts, reservations

__all__ = ["events", "layouts", "reservations"]
