"""History entries of the admin, in the language of the reader."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.contrib.admin.models import LogEntry
from django.utils.translation import gettext

from kernel.backoffice.display import capitalize
from kernel.backoffice.values import render_value


def log_entry_parts(entry: LogEntry) -> list[dict[str, Any]]:
    """The structured change message of an entry, or an empty list if the message is plain text.

    The part of an object action has `action`, `name`, `details` and `reason`. A part with `values` has the old and the new
    value of each changed field, `of` a row of the object. The others are Django's.
    """
    with suppress(ValueError, TypeError):
        return [part for part in json.loads(entry.change_message) if isinstance(part, dict)]
    return []


def render_log_entry(entry: LogEntry) -> str:
    """What was done and why. Django's own text leaves out the reason, and names fields in English."""
    parts = log_entry_parts(entry)
    actions = [gettext(part["action"]) + _render_details(part.get("details", ())) for part in parts if "action" in part]
    reasons = [gettext("Reason: %s") % part["reason"] for part in parts if part.get("reason")]
    edits = [] if actions else [_render_edits(entry, parts)]
    changes = [text for part in parts for text in _render_changes(part)]
    return " · ".join([*actions, *edits, *changes, *reasons])


def _render_details(details: Sequence[Sequence[Any]]) -> str:
    """Each detail is its label and value, or its label, old and new value."""
    shown = (f"{gettext(label)}: {' → '.join(map(render_value, values))}" for label, *values in details)
    return f" ({', '.join(shown)})" if details else ""


def _render_changes(part: dict[str, Any]) -> list[str]:
    row = f"{part['of']}: " if part.get("of") else ""
    return [
        f"{row}{_translate_label(label)}: {render_value(old)} → {render_value(new)}"
        for label, old, new in part.get("values", ())
    ]


def _render_edits(entry: LogEntry, parts: list[dict[str, Any]]) -> str:
    if entry.is_deletion():
        return gettext("Deleted.")
    if not parts:
        return str(entry.get_change_message())
    if texts := [part["text"] for part in parts if "text" in part]:
        return str(texts[0])
    for part in parts:
        change = part.get("changed")
        if isinstance(change, dict) and "fields" in change:
            change["fields"] = [_translate_label(label) for label in change["fields"]]
    return str(LogEntry(action_flag=entry.action_flag, change_message=json.dumps(parts)).get_change_message())


def _translate_label(label: str) -> str:
    # Django stores labels untranslated but capitalized, as forms show them: "Title" for the msgid "title".
    translated = gettext(label)
    return translated if translated != label else capitalize(gettext(label[:1].lower() + label[1:]))
