"""Keeping how a buyer is written to, as the token says that was verified with the request."""

import time
import unicodedata

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation.trans_real import get_supported_language_variant, parse_accept_lang_header

from kernel.db.sql import after_commit, fetch_all
from kernel.http.auth import User

MAX_NAME = 100
PERIOD = 3600  # seconds for which a process remembers that it has written a contact
REMEMBERED = 10_000

# The row is written when something has changed, and otherwise once a day.
_KEEP = """
INSERT INTO contacts AS c (user_id, name, email, language) VALUES (%(user_id)s, %(name)s, %(email)s, %(language)s)
ON CONFLICT (user_id) DO UPDATE
SET name = excluded.name, email = excluded.email, language = excluded.language, used_at = now()
WHERE (c.name, c.email, c.language) IS DISTINCT FROM (excluded.name, excluded.email, excluded.language)
   OR c.used_at < now() - interval '1 day'
"""


def keep_contact(user: User, *, accept_language: str) -> None:
    """Keeps name and address of a buyer who has reserved something, and the language of the request.

    Only where mail is configured, and only an address that mail can be sent to. One round trip for each buyer, process and
    hour. Safe to lose: an error is logged, since what was reserved is reserved.
    """
    if settings.MAIL_ENABLED:
        after_commit(_keep, user, accept_language)


# By user: a hash of the contact that this process has written last, and the period in which it has.
_written: dict[str, tuple[int, int]] = {}


def _keep(user: User, accept_language: str) -> None:
    written = hash((user, accept_language)), int(time.time()) // PERIOD
    if _written.get(user.user_id) == written:
        return
    if email := mailable(user.email):
        language = preferred_language(accept_language)
        fetch_all(_KEEP, {"user_id": user.user_id, "name": clean_name(user.name), "email": email, "language": language})
    if len(_written) >= REMEMBERED:
        _written.clear()
    _written[user.user_id] = written


def mailable(email: str) -> str:
    """The address, or nothing if it is none that can stand in a header: local part and domain, in ASCII, without quotes."""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    # Django's validator accepts a quoted local part, which may have control characters and spaces.
    is_plain = email.isascii() and email.isprintable() and not set(email) & set(' "(),:;<>[\\]')
    return email if is_plain and len(email) <= 254 else ""


def clean_name(name: str) -> str:
    """The name on one line, without characters that nobody sees."""
    visible = "".join(character if unicodedata.category(character)[0] not in "CZ" else " " for character in name)
    return " ".join(visible.split())[:MAX_NAME].rstrip()


def preferred_language(accept_language: str) -> str:
    """The first language of the header that mail is written in, or LANGUAGE_CODE."""
    for code, _ in parse_accept_lang_header(accept_language):
        try:
            return get_supported_language_variant(code)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE
