"""Values of fields as the history stores them, and as readers see them in their own language and time zone."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext

MAX_STORED_CHARACTERS = 10_000


def as_stored(field: forms.Field | None, value: Any) -> Any:
    """A value as JSON. A moment is `{"at": ISO 8601}`; an object is its name, also where `field` has only its key."""
    if isinstance(field, forms.ModelChoiceField) and field.queryset is not None and isinstance(value, UUID | int):
        value = field.queryset.filter(pk=value).first() or value
    match value:
        case None | bool() | int() | float():
            return value
        case datetime():
            return {"at": value.isoformat()}
        case str():
            return value[:MAX_STORED_CHARACTERS]
        case dict():
            return json.dumps(value, ensure_ascii=False)[:MAX_STORED_CHARACTERS]
        case Iterable():
            return sorted(str(item) for item in value)
    return str(value)


def render_value(stored: Any) -> str:
    """A stored value, in the language and time zone of the page."""
    match stored:
        case None | "" | []:
            return "–"
        case bool():
            return gettext("Yes") if stored else gettext("No")
        case int():
            return f"{stored:,}"
        case float():
            return f"{stored:,g}"
        case {"at": str(at)} if moment := parse_datetime(at):
            moment = localtime(moment)
            return date_format(moment, "Y-m-d H:i:s" if moment.second else "Y-m-d H:i")
        case list():
            return ", ".join(map(str, stored))
    return str(stored)
