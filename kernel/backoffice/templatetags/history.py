"""History entries in templates."""

from django.template import Library

from kernel.backoffice.audit_trail import actor_of
from kernel.backoffice.history import render_log_entry

register = Library()
register.filter("render_log_entry", render_log_entry)
register.filter("actor_of", actor_of)
