"""`python -m bench.search fill N` makes a catalogue of N events, `time` times searches in it, and `keep` its upkeep.

All use $DATABASE_URL. `fill` deletes the events of that database, which must be a scratch database, and indexes the new
ones. `time` runs the queries of tests/search, and prints for each kind how long PostgreSQL takes. `keep` changes events, and
prints what bringing them into the index again costs, of PostgreSQL and of the indexing process.
"""

import argparse
import json
import os
import random
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import django
import psutil  # type: ignore[import-untyped]
from django.db import connection

from bench.service import ROOT

SETTINGS = "ticketservice.settings"
TESTS = ROOT / "tests" / "search"
COLUMNS = (
    "id", "title", "artist_name", "venue", "address", "event_date", "sale_start_date", "sale_end_date", "status",
)  # fmt: skip
ARTISTS = 8000
BATCH = 256
SYLLABLES = (
    "가강경고광구규기김나남노다대도동라로루류리마명문미민박배백병보봄빈사서석선설성세소송수승시신아안양연영오용우원유윤은이인임자장재정조"
    "주준중지진찬창채천최태하한해혁현형호홍화환황희"
)
_PLACES = "서울 부산 대구 인천 광주 대전 울산 수원 고양 성남 창원 전주 청주 제주 강릉 여수 포항 춘천"
PLACES = _PLACES.split()
KINDS = ["콘서트", "단독 콘서트", "연말 콘서트", "전국투어", "팬미팅", "앙코르 콘서트", "리사이틀", "쇼케이스"]
WORLD = ["TOUR", "WORLD TOUR", "LIVE", "CONCERT", "FAN MEETING", "ENCORE", "ASIA TOUR"]
HALLS = [
    "아트홀",
    "체육관",
    "문화회관",
    "아트센터 대극장",
    "콘서트홀",
    "종합운동장",
    "컨벤션센터",
    "소극장",
    "월드컵경기장",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fill", "time", "keep"])
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    django.setup()
    if asked.what == "fill":
        fill(asked.count)
    elif asked.what == "keep":
        print(keep())
    else:
        print(report(timed()))


# --- The catalogue -------------------------------------------------------------------------------------------------


def fill(count: int) -> None:
    """Replaces all events and keyword mappings: the catalogue of tests/search, and others like it up to `count`."""
    from django.core.management import call_command

    given = json.loads((TESTS / "catalogue.json").read_text())
    names = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("DELETE FROM events")
        cursor.execute("DELETE FROM keyword_mappings")
        mappings = json.loads((TESTS / "mappings.json").read_text())
        insert = "INSERT INTO keyword_mappings (korean, english, entity_type) VALUES (%s, %s, %s)"
        cursor.executemany(insert, [(m["korean"], m["english"], m["entity_type"]) for m in mappings])
        rows = iter([*given, *islice(invented(given), count - len(given))])
        done = 0
        while batch := list(islice(rows, BATCH)):
            with cursor.copy(f"COPY events ({names}) FROM STDIN") as copy:
                for row in batch:
                    copy.write_row([row[column] for column in COLUMNS])
            done += len(batch)
            if done.bit_count() == 1 or done % 20_000 == 0:  # or foreign keys would be checked as in an empty table
                cursor.execute("ANALYZE events, event_search")
    call_command("rebuild_search")


def invented(given: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Events like the given ones, without end: other artists, works, places and days. The same each time."""
    chance = random.Random(15)
    latin = sorted({word for event in given for word in event["title"].split() if word.isascii() and word.isalpha()})
    artists = [_artist(chance, latin) for _ in range(ARTISTS)]
    works = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 5))) for _ in range(2000)]
    venues = [
        (f"{chance.choice(PLACES)}{''.join(chance.choices(SYLLABLES, k=2))}{chance.choice(HALLS)}") for _ in range(500)
    ]
    places = [(event["venue"], event["address"]) for event in given]
    while True:
        artist = artists[min(int(chance.expovariate(1 / 1500)), ARTISTS - 1)]
        place = chance.choice(PLACES)
        if chance.random() < 0.7:
            venue, address = chance.choice(places)
        else:
            venue = chance.choice(venues)
            district, road = (word + kind for word, kind in zip(chance.choices(works, k=2), "구로", strict=True))
            address = f"{place} {district} {road} {chance.randint(1, 900)}"
        begins = datetime(2026, 12, 1, 9, tzinfo=UTC) + timedelta(days=chance.randrange(400))
        year = begins.year
        title = chance.choice(
            [
                f"{year} {artist} {chance.choice(KINDS)} - {place}",
                f"{artist} {chance.choice(KINDS)} ‘{chance.choice(works)}’",
                f"{artist} {chance.choice(WORLD)} [{chance.choice(latin)} {chance.choice(latin)}] IN {chance.choice(latin)}",
                f"뮤지컬 〈{chance.choice(works)}〉 - {place}",
                f"연극 〈{chance.choice(works)} {chance.choice(works)}〉",
                f"{chance.choice(given)['title']} - {place}",
            ]
        )
        yield {
            "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "title": title[:255],
            "artist_name": artist,
            "venue": venue,
            "address": address,
            "event_date": begins.isoformat(),
            "sale_start_date": (begins - timedelta(days=chance.randint(20, 120))).isoformat(),
            "sale_end_date": begins.isoformat(),
            "status": chance.choices(["on_sale", "upcoming", "sold_out", "ended"], [4, 3, 1, 2])[0],
        }


def _artist(chance: random.Random, latin: list[str]) -> str:
    korean = "".join(chance.choices(SYLLABLES, k=chance.choice([2, 3, 3, 3, 4])))
    english = " ".join(chance.choices(latin, k=chance.choice([1, 1, 2])))
    return chance.choice([korean, korean, english, f"{korean} ({english})"])


# --- The searches --------------------------------------------------------------------------------------------------


def timed(rounds: int = 3) -> dict[str, list[tuple[float, str]]]:
    """By kind: milliseconds in PostgreSQL and the text, for each search. The best of three, since others use the machine."""
    from events.search import finding, terms
    from kernel.db.sql import fetch_planned
    from tests.search import own

    spent: list[float] = []

    def measured(sql: str, parameters: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return fetch_planned(sql, parameters, **options)
        finally:
            spent.append((time.perf_counter() - started) * 1000)

    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    given = json.loads((TESTS / "queries.shared.json").read_text())
    with patch.object(finding, "fetch_planned", measured), patch.object(terms, "fetch_planned", measured):
        for query in [*given, *own.queries()]:
            text = _text(query)
            if not text:
                continue
            best = float("inf")
            for _ in range(rounds):
                spent.clear()
                finding.find(finding.read_query(text), limit=10)
                best = min(best, sum(spent))
            found[query["kind"]].append((best, text))
    return found


def _text(query: dict[str, Any]) -> str:
    if "repeat" in query:
        return str(query["repeat"][0] * min(query["repeat"][1], 5000)).strip()
    text = str(query["q"] if "q" in query else unquote(query["raw"], errors="replace"))
    return text.replace("\x00", "").strip()


def report(found: dict[str, list[tuple[float, str]]]) -> str:
    """As a table in Markdown, the slowest kind last."""
    rows = []
    for kind, times in found.items():
        sorted_times = sorted(times)
        p95 = sorted_times[min(len(times) - 1, int(len(times) * 0.95))][0]
        rows.append((p95, kind, statistics.median(ms for ms, _ in times), sorted_times[-1]))
    lines = ["| kind | p50, ms | p95, ms | slowest |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {p50:.1f} | {p95:.1f} | {slowest[0]:.1f} `{slowest[1][:30]}` |"
        for p95, kind, p50, slowest in sorted(rows)
    ]
    return "\n".join(lines)


# --- The upkeep ----------------------------------------------------------------------------------------------------


def keep(count: int = 5000) -> str:
    """Milliseconds for an event whose venue has changed."""
    from events.search.index import BATCH, Indexer

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            "UPDATE events SET venue = venue || ' 별관' WHERE id IN (SELECT id FROM events LIMIT %s)", [count]
        )
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    postgresql = psutil.Process(backend)

    def used() -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), sum(postgresql.cpu_times()[:2])

    before = used()
    indexer, done = Indexer(), 0
    while indexed := indexer.index_batch(limit=BATCH):
        done += indexed
    wall, here, there = ((now - then) / done * 1000 for then, now in zip(before, used(), strict=True))
    return f"{done} events: {wall:.2f} ms each, of which CPU {here:.2f} ms here and {there:.2f} ms in PostgreSQL"


if __name__ == "__main__":
    main()
