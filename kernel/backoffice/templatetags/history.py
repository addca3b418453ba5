"""What staff did, in templates."""

from django.template import Library

from kernel.backoffice.actions import noted

register = Library()
register.filter("noted", noted)
