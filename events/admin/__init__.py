"""Organisers' pages for layouts and the words of the search. Events have theirs in `reservations.admin`."""

from events.admin import layouts

__all__ = ["layouts"]
