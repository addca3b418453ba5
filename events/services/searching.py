"""The index of the search is kept up to date."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from uuid import UUID

from django.db import connection

from events.search.documents import Aliases, EventTerms, documents
from events.search.index import Indexer, Row, apply_keyword_changes, index_out_of_date, read_rows, texts_of
from events.selectors import forget_event_lists
from kernel.db.sql import fetch_all

AHEAD = 8  # batches of a rebuilding whose terms are being made
BATCH_OF_TASK = 5000  # events in one run of the task; those that are left come five seconds later

_ADD_MISSING = """
INSERT INTO event_search (event_id, status, sale_start_date)
SELECT id, status, sale_start_date FROM events e WHERE NOT EXISTS (SELECT FROM event_search s WHERE s.event_id = e.id)
ON CONFLICT DO NOTHING
"""
_COPY_AGAIN = """
UPDATE event_search s SET status = e.status, sale_start_date = e.sale_start_date FROM events e
WHERE e.id = s.event_id AND (e.status, e.sale_start_date) IS DISTINCT FROM (s.status, s.sale_start_date)
"""


def index_event(*, event_id: UUID) -> None:
    """Index an event that has just been written, if a text of it has changed."""
    index_out_of_date(limit=1, only=[event_id])


def index_changes() -> int:
    """Index events that have changed, whoever has written them. Returns how many."""
    if count := index_out_of_date(limit=BATCH_OF_TASK):
        forget_event_lists()
    return count


def rebuild_index(progress: Callable[[int, int], object]) -> int:
    """Make the terms of all events again, and what a writer has left out who switched the triggers off.

    `progress` is called with how many are done, and of how many. Returns how many there are.
    """
    fetch_all(_ADD_MISSING, {})
    fetch_all(_COPY_AGAIN, {})
    apply_keyword_changes()
    total, done = fetch_all("SELECT count(*) AS total FROM event_search", {})[0]["total"], 0
    indexer = Indexer()
    indexer.learn_vocabulary()
    for rows, made in _made(indexer.aliases):
        indexer.write(rows, made)
        done += len(rows)
        progress(done, max(total, done))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE event_search, search_terms")
    forget_event_lists()
    return done


def _made(aliases: Aliases) -> Iterator[tuple[list[Row], list[EventTerms]]]:
    """All events, in batches, and their terms: these are made by other processes, while PostgreSQL writes those before."""
    ahead: deque[tuple[list[Row], Future[list[EventTerms]]]] = deque()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        after = UUID(int=0)
        while rows := read_rows("s.event_id > %(after)s", after=after):
            after = rows[-1]["event_id"]
            ahead.append((rows, pool.submit(documents, texts_of(rows), aliases)))
            if len(ahead) > AHEAD:
                first, future = ahead.popleft()
                yield first, future.result()
        for rows, future in ahead:
            yield rows, future.result()
