"""Organisers' pages. Events are administrated here and not in `events`, because saving one makes seats, which are ours."""

from django.contrib import admin

from seats.admin import events, layouts, reservations

admin.site.index_template = "seats/overview.html"

__all__ = ["events", "layouts", "reservations"]
