"""The index of the search follows every writer, and is used by every statement of a search."""

import time
from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

import psycopg
import pytest

from tests.search import run
from tests.support.harness import HALL, STANDING, UPCOMING, Api, Database, manage

NAMED = "UPDATE events SET title = %s, artist_name = %s, status = %s WHERE id = %s"


def ids(web: Api, text: str) -> list[str]:
    return [event["id"] for event in web.get(f"/events?limit=100&q={quote(text)}").json["events"]]


def forget(redis) -> None:
    """Strangers do not forget what is cached."""
    redis.flushall()
    time.sleep(0.05)


def test_a_stranger_changes_a_title_and_the_next_search_knows(web: Api, world: Database, redis) -> None:
    assert ids(web, "달빛정원") == []
    world.rows("UPDATE events SET title = '달빛정원' WHERE id = %s", HALL)
    forget(redis)
    assert ids(web, "달빛정원") == [HALL]
    assert ids(web, "ekfqlcwjddnjs") == [HALL]
    world.rows("UPDATE events SET title = '햇빛광장' WHERE id = %s", HALL)
    forget(redis)
    assert ids(web, "달빛정원") == []


def test_a_stranger_changes_keywords_and_the_next_search_knows(web: Api, world: Database, redis) -> None:
    world.rows("UPDATE events SET title = '달빛정원' WHERE id = %s", HALL)
    assert ids(web, "moonlit") == []
    world.rows("INSERT INTO keyword_mappings (korean, english) VALUES ('달빛정원', 'Moonlit'), ('문릿', 'Moonlit')")
    forget(redis)
    assert ids(web, "moonlit") == [HALL]
    assert ids(web, "문릿") == [HALL]  # two hops
    world.rows("DELETE FROM keyword_mappings WHERE english = 'Moonlit'")
    forget(redis)
    assert ids(web, "문릿") == []


def test_an_event_that_a_stranger_deletes_is_not_found(web: Api, world: Database, redis) -> None:
    insert = (
        "INSERT INTO events (title, venue, event_date, sale_start_date, sale_end_date) VALUES"
        " ('달빛정원', '어딘가', '2031-01-01', '2030-01-01', '2030-12-01') RETURNING id"
    )
    event_id = world.one(insert)
    assert ids(web, "달빛정원") == [str(event_id)]
    world.rows("DELETE FROM events WHERE id = %s", event_id)
    assert world.rows("SELECT 1 FROM event_search WHERE event_id = %s", event_id) == []
    forget(redis)
    assert ids(web, "달빛정원") == []


def test_a_writer_with_another_search_path_is_followed_too(world: Database) -> None:
    world.rows("SET search_path = public")
    try:
        world.rows("UPDATE ticket_schema.events SET title = '달빛정원', status = 'ended' WHERE id = %s", HALL)
    finally:
        world.rows("SET search_path = ticket_schema, public")
    (row,) = world.rows("SELECT status, version > indexed_version AS stale FROM event_search WHERE event_id = %s", HALL)
    assert row == {"status": "ended", "stale": True}


def test_the_exact_artist_comes_before_the_word_and_on_sale_before_the_rest(web: Api, world: Database, redis) -> None:
    world.rows(NAMED, "달빛의 밤", "달빛정원", "ended", HALL)
    world.rows(NAMED, "달빛정원 앞에서", "누군가", "on_sale", STANDING)
    world.rows(NAMED, "노래, 달빛정원", "누군가", "on_sale", UPCOMING)
    assert ids(web, "달빛정원") == [HALL, STANDING, UPCOMING]  # the artist, a beginning, a word
    world.rows(NAMED, "노래, 달빛정원", "누군가", "upcoming", STANDING)
    forget(redis)
    assert ids(web, "달빛정원") == [HALL, UPCOMING, STANDING]
    world.rows(NAMED, "노래, 달빛정원", "누군가", "ended", STANDING)
    world.rows(NAMED, "노래, 달빛정원", "누군가", "upcoming", UPCOMING)
    forget(redis)
    assert ids(web, "달빛정원") == [HALL, UPCOMING, STANDING]


def test_what_is_only_similar_stands_below_a_line(web: Api, world: Database) -> None:
    world.rows(NAMED, "WORLD TOUR", "Ado", "on_sale", HALL)
    found = web.get(f"/events?q={quote('아도')}").json
    assert [event["id"] for event in found["events"]] == [HALL]
    assert found["pagination"] == {"page": 1, "limit": 10, "total": 1, "totalPages": 1, "exact": 0}
    world.rows(NAMED, "아도 콘서트", "누군가", "ended", STANDING)
    found = web.get(f"/events?limit=50&q={quote('아도')}").json
    assert [event["id"] for event in found["events"]] == [STANDING, HALL]
    assert (found["pagination"]["exact"], found["pagination"]["total"]) == (1, 2)
    assert "exact" not in web.get(f"/events?q={quote('누군가')}").json["pagination"]
    assert "exact" not in web.get("/events").json["pagination"]


def test_the_status_limits_a_search(web: Api, world: Database) -> None:
    world.rows(NAMED, "달빛정원", "누군가", "ended", HALL)
    world.rows(NAMED, "달빛정원", "누군가", "on_sale", STANDING)
    found = web.get(f"/events?status=ended&q={quote('달빛정원')}").json
    assert [event["id"] for event in found["events"]] == [HALL]
    assert found["pagination"]["total"] == 1


def test_rebuilding_repairs_what_a_restore_left_out(web: Api, world: Database, redis) -> None:
    world.rows("SET session_replication_role = replica")  # no triggers
    try:
        world.rows("UPDATE events SET title = '달빛정원' WHERE id = %s", HALL)
        world.rows("DELETE FROM event_search WHERE event_id = %s", STANDING)
    finally:
        world.rows("SET session_replication_role = origin")
    done = manage("rebuild_search", DATABASE_URL=world.url)
    assert done.returncode == 0, done.stderr
    assert "15 of 15 events" in done.stdout
    forget(redis)
    assert ids(web, "달빛정원") == [HALL]
    assert STANDING in ids(web, "IU Acoustic")


def test_texts_that_grow_when_they_are_folded_are_indexed(web: Api, world: Database) -> None:
    world.rows("UPDATE events SET title = %s, artist_name = '달빛정원' WHERE id = %s", "\ufdfa" * 255, HALL)
    assert ids(web, "달빛정원") == [HALL]


@pytest.mark.parametrize("character", ["'", "유", "e", "%"])
def test_a_character_is_found_though_more_words_have_it_than_are_looked_at(
    web: Api, world: Database, character: str
) -> None:
    texts = [text for i in range(500) for text in (f"{character}q{i}", f"q{i}{character}")]
    added = (
        "INSERT INTO search_terms (text, is_phrase, keys, initials, sound)"
        " SELECT t, false, t, '', '' FROM unnest(%s::text[]) t"
    )
    world.rows(added, texts)
    having = (
        "SELECT id::text FROM events WHERE strpos(lower(concat_ws(' ', title, artist_name, venue, address)), %s) > 0"
    )
    try:
        assert {row["id"] for row in world.rows(having, character)} <= set(ids(web, character))
    finally:
        world.rows("DELETE FROM search_terms WHERE text = ANY(%s)", texts)


def test_an_index_that_is_up_to_date_takes_one_query(world: Database) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from events.search.index import index_out_of_date

    while index_out_of_date(limit=100):
        pass
    with CaptureQueriesContext(connection) as queries:
        assert index_out_of_date(limit=100) == 0
    connection.close()
    assert len(queries) == 1


# --- Indexes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(world: Database) -> Iterator[None]:
    """3,000 events, indexed."""
    from bench.search import COLUMNS, invented
    from events.search.index import index_out_of_date

    rows = list(islice(invented(run.read("catalogue.json")), 3_000))
    insert = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join(f'%({name})s' for name in COLUMNS)})"
    with psycopg.connect(world.url, options="-c search_path=ticket_schema,public") as connection:
        connection.cursor().executemany(insert, rows)
    assert index_out_of_date(limit=20_000) == 3_015
    yield
    from django.db import connection as of_this_thread

    of_this_thread.close()


@pytest.mark.slow
def test_every_statement_of_a_search_uses_an_index(
    world: Database, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from events.search import finding, terms
    from kernel.db.sql import fetch_planned

    world.rows("ANALYZE events, event_search, search_terms")
    plans: list[str] = []

    def explained(sql: str, parameters, **options):
        plans.append("\n".join(row["QUERY PLAN"] for row in fetch_planned(f"EXPLAIN {sql}", parameters, **options)))
        return fetch_planned(sql, parameters, **options)

    for module in (finding, terms):
        monkeypatch.setattr(module, "fetch_planned", explained)
    for text in ("고척스카이돔", "ㄱㅊㅅㅋㅇㄷ", "rhcjrtmzkdleha", "고척스카이둠", "gocheok", "아이유 콘서트"):
        plans.clear()
        assert finding.find(finding.read_query(text), limit=10).total > 0, text
        for plan in plans:
            assert "Seq Scan on event_search" not in plan, (text, plan)
            assert "Seq Scan on search_terms" not in plan, (text, plan)
        assert any("search_words_by_trigrams" in plan for plan in plans), text
        assert any("event_search_by_postings" in plan for plan in plans), text
