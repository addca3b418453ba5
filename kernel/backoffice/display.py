"""How the admin displays values: error messages, times and badges."""

from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext

from kernel.errors import DomainError


def error_message(error: DomainError) -> str:
    """The message of a domain error, in the language of the page."""
    text = gettext(error.template or error.message)
    return text % error.values if error.values else text


def format_time(at: datetime | None) -> str:
    """In the time zone of the page; "-" for None."""
    return date_format(localtime(at), "Y-m-d H:i") if at else "-"


def badge(text: Any, kind: str) -> SafeString:
    """`kind`: success, warning, danger, info, or empty for a neutral badge."""
    return format_html('<span class="badge {}">{}</span>', kind, capitalize(text))


def capitalize(text: Any) -> str:
    return str(capfirst(str(text)))
