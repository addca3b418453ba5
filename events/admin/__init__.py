"""Admin pages of seat layouts and of the search. Those of events are in `reservations.admin`."""

from events.admin import layouts, searching

__all__ = ["layouts", "searching"]
