"""Suggestions while somebody types; what organisers see of searches."""

from urllib.parse import quote

import pytest
from django.test import Client

from tests.support.harness import HALL, STANDING, Api, Database


def suggestions(web: Api, text: str) -> list[dict]:
    return web.get(f"/events/suggest?q={quote(text)}").json["suggestions"]


def test_suggestions_say_what_matched_and_where(web: Api, world: Database) -> None:
    found = suggestions(web, "고척스")
    assert found[0] == {
        "text": "고척스카이돔", "field": "venue", "matched": "고척스", "start": 0, "end": 3, "match": "contained",
        "eventId": HALL,
    }  # fmt: skip
    assert len({each["text"] for each in found}) == len(found)


def test_another_spelling_is_suggested_as_such(web: Api, world: Database) -> None:
    world.rows("UPDATE events SET title = 'TOUR', artist_name = 'G-DRAGON' WHERE id = %s", STANDING)
    (found, *_) = suggestions(web, "지드래곤")
    assert (found["text"], found["field"], found["matched"], found["start"], found["end"], found["match"]) == (
        "G-DRAGON", "alias", "지드래곤", None, None, "named",
    )  # fmt: skip


def test_there_are_eight_suggestions_at_most_and_none_for_nothing(web: Api, world: Database) -> None:
    assert 0 < len(suggestions(web, "a")) <= 8
    assert suggestions(web, "  ") == suggestions(web, "") == suggestions(web, "zzzzqqqq") == []


def test_a_suggestion_is_as_fresh_as_the_list(web: Api, world: Database) -> None:
    from django.contrib.auth.models import User

    assert suggestions(web, "달빛정원") == []
    user, _ = User.objects.get_or_create(username="root", defaults={"is_staff": True, "is_superuser": True})
    admin = Client()
    admin.force_login(user)
    entered = {"korean": "달빛정원", "english": "IU", "entity_type": "artist"}
    assert admin.post("/admin/events/keywordmapping/add/", entered).status_code == 302
    assert suggestions(web, "달빛정원")[0]["field"] == "alias"


@pytest.mark.parametrize("query", ["q=%00", "q=a&q=b", f"q={'a' * 5001}"])
def test_what_the_list_refuses_is_refused(web: Api, world: Database, query: str) -> None:
    assert web.get(f"/events/suggest?{query}").status == 400


# --- Searches that found nothing ------------------------------------------------------------------------------------


def fruitless(world: Database) -> dict[str, int]:
    return {row["text"]: row["times"] for row in world.rows("SELECT text, times FROM search_fruitless")}


@pytest.fixture
def none_yet(world: Database):
    world.rows("DELETE FROM search_fruitless")
    yield world
    world.rows("DELETE FROM search_fruitless")


def test_completed_searches_that_find_nothing_are_counted(web: Api, none_yet: Database, redis) -> None:
    for text in ("없는 가수", "없는가수ㄱ", "ＺＺＺＱＱＱ", "x" * 100 + "%"):
        assert web.get(f"/events?q={quote(text)}").json["pagination"]["total"] == 0
    suggestions(web, "qqqqzzzzq")
    web.get("/events?q=IU")
    web.get("/events?status=ended&q=zzzzqqq")
    web.get("/events?page=2&q=zzzzqq")
    assert fruitless(none_yet) == {"없는 가수": 1, "zzzqqq": 1, "x" * 64: 1}
    redis.flushall()
    web.get(f"/events?limit=11&q={quote('없는 가수')}")
    assert fruitless(none_yet)["없는 가수"] == 2
    columns = none_yet.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'search_fruitless'")
    assert {row["column_name"] for row in columns} == {"id", "day", "text", "times"}  # nothing of who searched


def test_a_search_that_cannot_be_counted_is_answered(web: Api, none_yet: Database) -> None:
    none_yet.rows("ALTER TABLE search_fruitless RENAME TO elsewhere")
    try:
        answer = web.get("/events?q=zzzqqqc")
    finally:
        none_yet.rows("ALTER TABLE elsewhere RENAME TO search_fruitless")
    assert (answer.status, answer.json["pagination"]["total"]) == (200, 0)
    assert fruitless(none_yet) == {}


def test_a_day_has_a_thousand_different_ones_at_most(web: Api, none_yet: Database) -> None:
    none_yet.rows(
        "INSERT INTO search_fruitless (day, text) SELECT current_date, 't' || n FROM generate_series(1, 999) n"
    )
    none_yet.rows("INSERT INTO search_fruitless (day, text) VALUES (current_date - 31, 'old')")
    for text in ("zzzqqqa", "zzzqqqb", "zzzqqqa"):
        web.get(f"/events?limit={len(text)}&q={text}")
    found = fruitless(none_yet)
    assert len(found) == 1000
    assert "old" not in found
    assert "zzzqqqa" in found


# --- The admin --------------------------------------------------------------------------------------------------------


@pytest.fixture
def organiser(world: Database) -> Client:
    from django.contrib.auth.models import User

    user, _ = User.objects.get_or_create(username="staff", defaults={"is_staff": True})
    client = Client()
    client.force_login(user)
    return client


def test_an_organiser_tries_a_search(organiser: Client, world: Database) -> None:
    page = organiser.get("/admin/events/keywordmapping/try/", {"q": "아이유 고척"}).content.decode()
    assert "아이유 2030 콘서트 - The Golden Hour" in page
    assert "고척스카이돔" in page
    page = organiser.get(
        "/admin/events/keywordmapping/try/", {"q": "dkdldb"}, headers={"Accept-Language": "ko"}
    ).content.decode()
    assert "여기부터는 비슷한 이벤트" in page
    assert "zzzz" in organiser.get("/admin/events/keywordmapping/try/", {"q": "zzzzqqqq"}).content.decode()
    assert Client().get("/admin/events/keywordmapping/try/").status_code == 302


def test_an_organiser_reads_what_found_nothing(organiser: Client, none_yet: Database) -> None:
    none_yet.rows("INSERT INTO search_fruitless (day, text, times) VALUES (current_date, '없는 가수', 7)")
    page = organiser.get("/admin/events/fruitlesssearch/").content.decode()
    assert "없는 가수" in page
    assert "/admin/events/keywordmapping/try/?q=" in page
    assert organiser.get("/admin/events/fruitlesssearch/add/").status_code == 403
