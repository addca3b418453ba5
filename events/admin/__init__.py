"""Admin pages of seat layouts and search keywords. Those of events are in `reservations.admin`."""

from events.admin import layouts

__all__ = ["layouts"]
