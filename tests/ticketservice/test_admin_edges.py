"""Rubbish in URLs, forms that mislead, and what the admin says about them."""

import json
import logging
from typing import Any

import pytest
from django.test import Client
from django.test.utils import override_settings

from tests.support.admin_pages import open_form
from tests.support.harness import HALL, STANDING, STANDING_A, THEATRE, Database

EVENTS, LAYOUTS, POLICIES = "/admin/events/event/", "/admin/events/seatlayout/", "/admin/queueing/queuepolicy/"
RESERVATIONS, KEYWORDS, USERS = "/admin/reservations/reservation/", "/admin/events/keywordmapping/", "/admin/auth/user/"
LISTS = [EVENTS, LAYOUTS, POLICIES, RESERVATIONS, KEYWORDS, USERS, "/admin/auth/group/"]
EVENT = f"{EVENTS}{HALL}/change/"
ENGLISH = {"HTTP_ACCEPT_LANGUAGE": "en"}
PREFILLED = ["2030-06-01", "zzz", "%00", "0001-01-01", "2030-13-45", "%ED%A0%80", "99999999999999999999"]
AUTOCOMPLETE = "/admin/autocomplete/?app_label=queueing&model_name=queuepolicy&field_name=event"


@pytest.fixture
def root(world: Database) -> Client:
    from django.contrib.auth.models import User

    user, _ = User.objects.get_or_create(username="root", defaults={"is_staff": True, "is_superuser": True})
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def failures(client: Client, urls: list[str]) -> dict[str, int]:
    """Answers that are 500, also after a redirect."""
    answers = {url: client.get(url, follow=True).status_code for url in urls}
    return {url: status for url, status in answers.items() if status >= 500}


def lookups_of(list_url: str) -> list[str]:
    own = {
        EVENTS: ["status__exact", "sale", "event_date__year", "event_date__month", "event_date__day",
                 "seat_layout__id__exact", "seat_layout__isnull", "event_date__gte"],
        RESERVATIONS: ["status__exact", "payment_status__exact", "refund", "created_at__gte", "created_at__lt",
                       "created_at__year", "event__id__exact"],
        POLICIES: ["is_paused__exact", "is_on__exact", "event__id__exact"],
        KEYWORDS: ["entity_type", "entity_type__exact"],
        USERS: ["is_staff__exact", "groups__id__exact", "id__exact", "date_joined__year", "last_login__gte"],
    }  # fmt: skip
    return [
        *own.get(list_url, []),
        "q",
        "p",
        "o",
        "all",
        "e",
        "_facets",
        "_popup",
        "_to_field",
        "id__in",
        "pk",
        "%00",
        "zzz__exact",
    ]


@pytest.mark.long
@pytest.mark.filterwarnings("default:DateTimeField:RuntimeWarning")  # no error outside tests either
@pytest.mark.parametrize("list_url", LISTS)
def test_rubbish_in_the_filters_of_a_list_is_no_500(root: Client, list_url: str) -> None:
    values = ["zzz", "%00", "0", "99999999999999999999", "9999-12-31"]
    urls = [f"{list_url}?{lookup}={value}" for lookup in lookups_of(list_url) for value in values]
    urls += [f"{list_url}?event_date__year={year}&event_date__month={month}&event_date__day={day}"
             for year, month, day in (("1", "1", "1"), ("9999", "12", "31"), ("2030", "2", "31"))]  # fmt: skip
    assert failures(root, urls) == {}


@pytest.mark.long
def test_rubbish_in_prefilled_forms_choosers_and_paths_is_no_500(root: Client) -> None:
    fields = {
        EVENTS: [
            "title",
            "event_date",
            "sale_start_date",
            "seat_layout",
            "max_seats_per_reservation",
            "status",
            "nothing",
        ],
        LAYOUTS: ["name", "layout_config", "total_seats"],
        POLICIES: ["event", "is_on", "opens_at", "threshold"],
        KEYWORDS: ["korean"],
        USERS: ["username", "date_joined", "groups", "user_permissions"],
    }
    urls = [f"{page}add/?{name}={value}" for page, names in fields.items() for name in names for value in PREFILLED]
    urls += [
        f"{AUTOCOMPLETE}&{rest}"
        for rest in ("term=%00", "term=zzz&page=zzz", "page=0", "page=-1", "term=" + "z" * 3000)
    ]
    urls += ["/admin/autocomplete/?term=", "/admin/autocomplete/?app_label=%00&model_name=x&field_name=y"]
    ids = ["zzz", "%00", "99999999999999999999", "_5F"]
    urls += [f"{page}{key}/{verb}/" for page in LISTS for key in ids for verb in ("change", "history", "delete")]
    urls += [f"{page}{key}/" for page in LISTS for key in ids]
    urls += [f"{EVENTS}{key}/cancel/" for key in ids] + [f"{POLICIES}{key}/pause/" for key in ids]
    urls += [f"/admin/r/{kind}/{key}/" for kind in ("7", "zzz", "99999999999999999999") for key in ids]
    urls += [
        f"{EVENT}?_changelist_filters=%00",
        f"{EVENT}?_to_field=zzz",
        "/admin/login/?next=%00",
        "/admin/zzz/",
        "/admin/%00/",
    ]
    assert failures(root, urls) == {}
    assert 'value="2030-06-01"' in root.get(f"{EVENTS}add/?event_date=2030-06-01").content.decode()


@pytest.mark.long
@pytest.mark.parametrize("list_url", LISTS)
def test_rubbish_in_the_selection_of_a_list_is_no_500(root: Client, world: Database, list_url: str) -> None:
    before = world.everything()
    for action in ("delete_selected", "cancel", "refund", "zzz", "\0"):
        for keys in (["zzz"], ["\0"], [HALL, "zzz"], [""], ["99999999999999999999"]):
            if HALL in keys and list_url == EVENTS:
                continue
            chosen = {"action": action, "_selected_action": keys, "index": "zzz", "select_across": "0"}
            answer = root.post(list_url, chosen | {"post": "yes", "confirmed": "yes", "reason": "x"}, follow=True)
            assert answer.status_code < 500, (action, keys)
    assert world.everything() == before


@pytest.mark.long
def test_rubbish_in_posted_forms_and_cookies_is_no_500(root: Client, world: Database) -> None:
    before = world.everything()
    form = open_form(root, EVENT)
    for name in [name for name in form if not name.endswith(("_FORMS", "-id")) and "__prefix__" not in name]:
        for value in ("\0", "9" * 400, "0001-01-01"):
            assert root.post(EVENT, form | {name: value, "title": "x\0"}).status_code < 500, (name, value)
    for name in [name for name in form if name.endswith(("_FORMS", "-id"))]:
        for value in ("", "\0", "99999999999999999999"):
            assert root.post(EVENT, form | {name: value, "title": "x\0"}).status_code < 500, (name, value)
    assert world.everything() == before
    stranger = Client(raise_request_exception=False)
    for cookie in (
        'sessionid="\\000aaaaaaaaaaa"',
        'csrftoken="\\000"',
        'django_language="\\000"',
        'messages="\\000zz"',
    ):
        assert stranger.get("/admin/login/", HTTP_COOKIE=cookie).status_code < 500, cookie


# --- Signing in -------------------------------------------------------------------------------------------------------


def test_a_wrong_password_leaves_a_log_line_and_a_metric_without_the_password(
    world: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from prometheus_client import REGISTRY

    name = "ticketservice_admin_login_failures_total"
    before = REGISTRY.get_sample_value(name) or 0
    with caplog.at_level(logging.WARNING), override_settings(TRUSTED_PROXIES=1):
        tried = Client().post(
            "/admin/login/",
            {"username": "m" * 500, "password": "hunter2-secret"},
            HTTP_X_FORWARDED_FOR="6.6.6.6, 203.0.113.9",
        )
        Client().post("/admin/login/", {"username": "minji", "password": "hunter2-secret"})
    assert tried.status_code == 200
    lines = [record for record in caplog.records if record.getMessage() == "sign-in to the admin failed"]
    assert [(line.username, line.address) for line in lines][-1] == ("minji", "127.0.0.1")
    assert "hunter2" not in str([vars(line) for line in lines])
    assert (REGISTRY.get_sample_value(name) or 0) - before == len(lines) >= 1


# --- Pages for what is not permitted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "words"), [("en", "Your account may not do this"), ("ko", "권한이 없습니다")])
def test_what_is_not_permitted_has_a_page(root: Client, language: str, words: str) -> None:
    answer = root.get(f"{RESERVATIONS}add/", HTTP_ACCEPT_LANGUAGE=language)
    assert answer.status_code == 403
    assert words in answer.content.decode()
    assert 'id="user-tools"' in answer.content.decode()


def test_a_form_without_its_token_has_a_page(root: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = root.cookies
    answer = strict.post(EVENT, {"title": "x"}, **ENGLISH)
    assert answer.status_code == 403
    assert "The page is too old" in answer.content.decode()


# --- Names ------------------------------------------------------------------------------------------------------------


def test_events_and_layouts_of_one_title_can_be_told_apart_in_choosers(root: Client, world: Database) -> None:
    world.rows("UPDATE events SET title = 'same', venue = 'same'")
    world.rows("INSERT INTO seat_layouts (name, layout_config) SELECT name, layout_config FROM seat_layouts LIMIT 1")
    world.rows("UPDATE seat_layouts SET name = 'same', total_seats = 100")
    world.rows(
        "UPDATE events SET seat_layout_id = (SELECT max(id::text)::uuid FROM seat_layouts) WHERE id = %s", STANDING
    )
    found = root.get(f"{AUTOCOMPLETE}&term=same").json()["results"]
    assert len(found) > 2
    assert len({result["text"] for result in found}) == len(found)
    hall = next(result["text"] for result in found if result["id"] == HALL)
    assert "2030-06-01 19:00" in hall
    for page in (f"{EVENTS}add/", EVENTS):
        shown = root.get(page, **ENGLISH).content.decode()
        labels = {part.split("<")[0] for part in shown.split("same · ")[1:]}
        assert len(labels) >= 2, page
        assert all("100 seats" in label for label in labels)
    chosen = root.get(f"{POLICIES}add/?event={HALL}").content.decode()
    assert hall in chosen


ALIKE = ["VIP", "VIP ", "VIP\u200b", "V\u2060IP", "\u3164VIP", "VIP\u00a0", "\ufeffVIP"]


@pytest.mark.parametrize("name", ALIKE)
def test_sections_that_look_alike_are_one(root: Client, world: Database, name: str) -> None:
    def layout(second: str, start: int) -> str:
        section = {"rows": 2, "seatsPerRow": 9, "price": 1}
        return json.dumps(
            {"sections": [section | {"name": "VIP", "startRow": 1}, section | {"name": second, "startRow": start}]}
        )

    before = world.everything()
    refused = root.post(f"{LAYOUTS}add/", {"name": "x", "layout_config": layout(name, 2)}, **ENGLISH)
    assert "has row 2 twice" in refused.content.decode()
    assert world.everything() == before
    assert root.post(f"{LAYOUTS}add/", {"name": "alike", "layout_config": layout(name, 3)}).status_code == 302
    stored = world.one("SELECT layout_config FROM seat_layouts WHERE name = 'alike'")
    assert [section["name"] for section in stored["sections"]] == ["VIP", "VIP"]


def test_composed_and_decomposed_korean_is_one_name_and_nothing_is_no_name() -> None:
    from events.services.layouts import plain_name

    assert plain_name("\u1109\u1173\u1110\u1162\u11ab\u1103\u1175\u11bc") == "스탠딩"
    assert plain_name("A  구역\t1") == "A 구역 1"
    assert plain_name("\u200b \u3164") == ""


@pytest.mark.parametrize("name", ["스탠딩 A", "스탠딩 A ", "스탠딩\u200b A"])
def test_two_ticket_types_of_one_name_are_warned_of(root: Client, world: Database, name: str) -> None:
    world.rows("UPDATE ticket_types SET name = '스탠딩 A' WHERE id = %s", STANDING_A)
    url = f"{EVENTS}{STANDING}/change/"
    form = open_form(root, url)
    place = form["ticket_types-TOTAL_FORMS"]
    new = {"name": name, "price": "1", "total_quantity": "8", "description": "", "event": STANDING}
    form |= {f"ticket_types-{place}-{field}": value for field, value in new.items()}
    form["ticket_types-TOTAL_FORMS"] = str(int(str(place)) + 1)
    assert "Several ticket types are named “스탠딩 A”" in root.post(url, form, follow=True, **ENGLISH).content.decode()


def test_an_event_with_nothing_to_sell_is_warned_of(root: Client, world: Database) -> None:
    url = f"{EVENTS}add/"
    new = {
        "title": "새 공연", "venue": "새 극장",
        "event_date_0": "2031-06-01", "event_date_1": "19:00", "sale_start_date_0": "2031-01-01",
        "sale_start_date_1": "10:00", "sale_end_date_0": "2031-05-31", "sale_end_date_1": "23:59",
    }  # fmt: skip
    words = "This event has nothing to sell"
    assert words in root.post(url, open_form(root, url) | new, follow=True, **ENGLISH).content.decode()
    theatre = f"{EVENTS}{THEATRE}/change/"
    assert words not in root.post(theatre, open_form(root, theatre), follow=True, **ENGLISH).content.decode()


# --- Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["/\\evil.example", "/\t/evil.example", "/\n/evil.example", "\\\\evil.example", "https:///evil",
                                 "https:\\\\evil.example", "/a b", "/\x01/evil.example", "http:evil.example"])  # fmt: skip
def test_posters_that_lead_elsewhere_are_refused(root: Client, world: Database, url: str) -> None:
    before = world.everything()
    answer = root.post(EVENT, open_form(root, EVENT) | {"poster_image_url": url}, **ENGLISH)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["poster_image_url"]
    assert world.everything() == before


@pytest.mark.parametrize("url", ["/posters/a.png", "https://img.example.org/%20a.png?x=1", "HTTP://img.example.org/a"])
def test_posters_on_this_site_or_at_a_host_are_saved(root: Client, world: Database, url: str) -> None:
    assert root.post(EVENT, open_form(root, EVENT) | {"poster_image_url": url}).status_code == 302
    assert world.one("SELECT poster_image_url FROM events WHERE id = %s", HALL) == url


def test_an_event_in_the_hour_that_daylight_saving_repeats_can_be_saved(root: Client, world: Database) -> None:
    """In New York 01:30 on 3 November 2030 comes twice: at 05:30 and at 06:30 UTC."""
    with override_settings(VENUE_TIME_ZONE="America/New_York"):
        entered = {"event_date_0": "2030-11-03", "event_date_1": "01:30:00", "sale_end_date_0": "2030-11-01"}
        assert root.post(EVENT, open_form(root, EVENT) | entered).status_code == 302
        stored = "SELECT to_char(event_date AT TIME ZONE 'UTC', 'HH24:MI:SS.MS') FROM events WHERE id = %s"
        assert world.one(stored, HALL) == "05:30:00.000"
        world.rows("UPDATE events SET event_date = '2030-11-03T06:30:00.250Z' WHERE id = %s", HALL)
        assert root.post(EVENT, open_form(root, EVENT) | {"title": "새 제목"}).status_code == 302
        assert world.one(stored, HALL) == "06:30:00.250"  # the second stays the second
        skipped = {"event_date_0": "2030-03-10", "event_date_1": "02:30:00"}
        assert root.post(EVENT, open_form(root, EVENT) | skipped).status_code == 200
        assert root.post(EVENT, open_form(root, EVENT) | {"sale_start_date_0": "2030-11-02"}).status_code == 200


def test_nobody_is_told_a_wait_while_the_queue_is_paused(root: Client, world: Database, web: Any) -> None:
    from tests.support.harness import new_user

    policy = f"{POLICIES}{HALL}"
    root.post(f"{policy}/limits/", {"threshold": "1", "admissions_per_second": "1", "reason": "x"})
    for _ in range(3):
        web.post(f"/queue/check/{HALL}", user=new_user())
    root.post(f"{policy}/pause/", {"reason": "x"})
    queue = root.get(f"{EVENTS}{HALL}/live/queue/").json()
    assert (queue["state"], queue["waiting"], queue["wait"]) == ("paused", 2, None)
