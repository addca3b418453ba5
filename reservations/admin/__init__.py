"""Admin pages of events and reservations. Events are here and not in `events`, because cancelling one ends reservations."""

from django.contrib import admin

from reservations.admin import events, refunds, reservations, waitlist

admin.site.index_template = "reservations/overview.html"

__all__ = ["events", "refunds", "reservations", "waitlist"]
