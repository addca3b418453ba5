"""Writing a mail: from a row of `mails`, with what it is about, to a message in the buyer's language."""

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parseaddr
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from mail.models import MailKind

MAX_SUBJECT = 150
SUBJECTS = {
    MailKind.TICKET: _("Your tickets: %(event)s"),
    MailKind.REFUND_DUE: _("Your refund is on its way: %(event)s"),
    MailKind.REFUNDED: _("Your refund is complete: %(event)s"),
    MailKind.EVENT_MOVED: _("New date or place: %(event)s"),
    MailKind.EVENT_CANCELLED: _("Cancelled: %(event)s"),
    MailKind.WAITLIST_OFFER: _("It is your turn: %(event)s"),
}
ACCENTS = {
    MailKind.TICKET: "#3538cd",
    MailKind.REFUND_DUE: "#0f766e",
    MailKind.REFUNDED: "#0f766e",
    MailKind.EVENT_MOVED: "#b45309",
    MailKind.EVENT_CANCELLED: "#b42318",
    MailKind.WAITLIST_OFFER: "#3538cd",
}


class Dropped(Exception):
    """There is nobody to write to, or nothing left to say. Its text is the reason."""


def compose(row: Mapping[str, Any]) -> EmailMultiAlternatives:
    """`row`: a mail with `selectors.FACTS`. Raises Dropped."""
    if row["email"] is None:
        raise Dropped("no e-mail address is known")
    if row["title"] is None:
        raise Dropped("the event is gone")
    with override(row["language"]), timezone.override(settings.VENUE_TIME_ZONE):
        return _message(row, MailKind(row["kind"]))


def _message(row: Mapping[str, Any], kind: MailKind) -> EmailMultiAlternatives:
    context = _context(row, kind)
    subject = one_line(SUBJECTS[kind] % {"event": context["event"]["title"]})[:MAX_SUBJECT]
    context |= {"subject": subject, "accent": ACCENTS[kind]}
    message = EmailMultiAlternatives(
        subject=subject,
        body=render_to_string(f"mail/{kind}.txt", context).strip() + "\n",
        from_email=settings.MAIL_FROM,
        to=[row["email"]],  # the name is in the text only: a header has nothing that a buyer has written
        reply_to=[settings.MAIL_REPLY_TO] if settings.MAIL_REPLY_TO else None,
        headers={
            "Message-ID": f"<{row['public_id'].hex}@{parseaddr(settings.MAIL_FROM)[1].rpartition('@')[2]}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no answers from machines
            "X-Auto-Response-Suppress": "All",  # the same for Exchange
            "Content-Language": row["language"],
        },
    )
    message.attach_alternative(render_to_string(f"mail/{kind}.html", context), "text/html")
    return message


def one_line(text: str) -> str:
    """Without line breaks, control characters and other white space than single spaces."""
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())


# --- What templates know ----------------------------------------------------------------------------------------------


def _context(row: Mapping[str, Any], kind: MailKind) -> dict[str, Any]:
    data = row["data"]
    refund = data.get("refund") or {}
    event = {"title": one_line(row["title"]), "when": _when(row["event_date"]), "where": _where(row)}
    context = {
        "language": row["language"],
        "name": row["name"],
        "event": event,
        "number": data.get("reservationNumber", ""),
        "places": list(_places(row, refund)),
        "amount": _won(data.get("totalAmount")),
        "refund": {"amount": _won(refund.get("amount")), "reason": refund.get("reason", "")},
        "url": _url(row),
    }
    if kind == MailKind.EVENT_CANCELLED:
        context["refund"] = {"amount": _won(data["totalAmount"] or None)}
    if kind == MailKind.EVENT_MOVED:
        context |= _move(data)
    if kind == MailKind.WAITLIST_OFFER:
        deadline = datetime.fromisoformat(data["deadline"])
        if deadline <= timezone.now():
            raise Dropped("the offer is over")
        context["deadline"] = _when(deadline)
    return context


def _move(data: Mapping[str, Any]) -> dict[str, Any]:
    """As this move left it: another may follow, with a mail of its own."""
    before = {
        "when": _when(datetime.fromisoformat(data["previousEventDate"])),
        "where": _where({"venue": data["previousVenue"], "address": data["previousAddress"]}),
    }
    after = {"when": _when(datetime.fromisoformat(data["eventDate"])), "where": _where(data)}
    return {"before": before, "after": after}


def _places(row: Mapping[str, Any], refund: Mapping[str, Any]) -> Iterator[str]:
    """Seats and tickets: those that were refunded, if it was a part."""
    labels, types = row["seat_labels"] or {}, row["type_names"] or {}
    for item in (row["refunded_items"] if refund else None) or row["data"].get("items") or ():
        if (seat_id := item.get("seatId")) is not None:
            yield item.get("seatLabel") or labels.get(seat_id) or gettext("seat")
        else:
            name = types.get(item.get("ticketTypeId")) or gettext("ticket")
            yield f"{name} × {item['quantity']}"


def _when(moment: datetime) -> str:
    # Translators: how mail writes a moment, in the letters of Django's filter `date`.
    return date_format(timezone.localtime(moment), gettext("l, j F Y, H:i"))


def _where(row: Mapping[str, Any]) -> str:
    return ", ".join(one_line(part) for part in (row["venue"], row["address"]) if part)


def _won(amount: int | None) -> str:
    return "" if amount is None else gettext("₩%s") % f"{amount:,}"


def _url(row: Mapping[str, Any]) -> str:
    if row["reservation_id"] is None:
        return ""
    return settings.MAIL_RESERVATION_URL.replace("{id}", quote(str(row["reservation_id"])))
