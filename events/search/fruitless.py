"""The searches of each day that found nothing, for organisers."""

from django.db import transaction

from events.search.folding import fold
from events.search.keyboard import LETTERS
from kernel.db.sql import fetch_all

MAX_TEXT = 64
MAX_TEXTS_A_DAY = 1000
DAYS_KEPT = 30
_LOCK = 0x5EA2C4  # of advisory locks: whoever adds a text of today


def note_fruitless_search(*, text: str) -> None:
    """Count a search of today that found nothing; not who searched. Texts that are still being typed are left out."""
    text = " ".join(fold(text[: MAX_TEXT * 4]).split())[:MAX_TEXT]
    if not text or (LETTERS.match(text[-1]) and not LETTERS.match(text[0])):
        return
    with transaction.atomic():
        again = "UPDATE search_fruitless SET times = times + 1 WHERE day = current_date AND text = %(text)s RETURNING 1"
        if fetch_all(again, {"text": text}):
            return
        fetch_all("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": _LOCK})  # or two could add the last one
        fetch_all("DELETE FROM search_fruitless WHERE day < current_date - %(days)s::integer", {"days": DAYS_KEPT})
        fetch_all(
            "INSERT INTO search_fruitless (day, text) SELECT current_date, %(text)s"
            " WHERE (SELECT count(*) FROM search_fruitless WHERE day = current_date) < %(most)s"
            " ON CONFLICT (day, text) DO UPDATE SET times = search_fruitless.times + 1",
            {"text": text, "most": MAX_TEXTS_A_DAY},
        )
