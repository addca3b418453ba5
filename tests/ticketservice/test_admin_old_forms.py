"""Two people at one form: what either has entered stays, and what both have entered is shown before it is replaced."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from tests.support.admin_pages import ChangeForm, open_form
from tests.support.harness import HALL, STANDING, STANDING_A, STANDING_B, THEATRE, Database

EVENT = f"/admin/events/event/{HALL}/change/"
STANDING_EVENT = f"/admin/events/event/{STANDING}/change/"
POLICY = f"/admin/queueing/queuepolicy/{HALL}/change/"
ENGLISH = {"HTTP_ACCEPT_LANGUAGE": "en"}
MEANWHILE = "while the page was open"


@pytest.fixture
def admin(world: Database) -> Client:
    from django.contrib.auth.models import User

    user, _ = User.objects.get_or_create(username="root", defaults={"is_staff": True, "is_superuser": True})
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


def save(client: Client, url: str, form: dict[str, Any], **entered: Any) -> Any:
    return client.post(url, form | entered)


def row_prefix(form: dict[str, Any], ticket_type: str) -> str:
    (name,) = [name for name, value in form.items() if value == ticket_type and name.endswith("-id")]
    return str(name).removesuffix("id")


def errors_of(page: Any) -> str:
    assert page.status_code == 200, page.headers.get("Location")
    return html.unescape(" ".join(re.findall(r'<ul class="errorlist.*?</ul>', page.content.decode(), re.DOTALL)))


@pytest.mark.parametrize("name", ["event_date", "sale_start_date", "sale_end_date"])
def test_saving_the_title_keeps_the_dates_that_a_colleague_has_set(admin: Client, world: Database, name: str) -> None:
    mine = open_form(admin, EVENT)
    moved = {f"{name}_0": "2031-01-01" if name == "event_date" else "2029-12-24", f"{name}_1": "18:30:00"}
    moved |= {"event_date_0": "2031-01-01"} if name != "sale_start_date" else {}
    assert save(admin, EVENT, open_form(admin, EVENT), **moved).status_code == 302
    theirs = world.rows("SELECT event_date, sale_start_date, sale_end_date FROM events WHERE id = %s", HALL)
    saved = admin.post(EVENT, mine | {"title": "새 제목"}, follow=True)
    assert "Kept what somebody else has changed" in saved.content.decode()
    assert world.rows("SELECT event_date, sale_start_date, sale_end_date FROM events WHERE id = %s", HALL) == theirs
    assert world.one("SELECT title FROM events WHERE id = %s", HALL) == "새 제목"


def test_saving_the_title_keeps_totals_prices_and_rows_that_a_colleague_has_changed(
    admin: Client, world: Database
) -> None:
    mine = open_form(admin, STANDING_EVENT)
    theirs = open_form(admin, STANDING_EVENT)
    first, second = row_prefix(theirs, STANDING_A), row_prefix(theirs, STANDING_B)
    entered = {f"{first}total_quantity": "130", f"{first}price": "99000", f"{second}description": "줄\r\n바꿈"}
    assert save(admin, STANDING_EVENT, theirs, **entered).status_code == 302
    columns = "SELECT id, name, price, total_quantity, available_quantity, description FROM ticket_types ORDER BY id"
    before = world.rows(columns)
    assert save(admin, STANDING_EVENT, mine, title="새 제목", **{f"{second}name": "뒤"}).status_code == 302
    after = world.rows(columns)
    assert [row | {"name": ""} for row in after] == [row | {"name": ""} for row in before]
    assert world.one("SELECT name FROM ticket_types WHERE id = %s", STANDING_B) == "뒤"


def test_what_both_have_changed_is_shown_and_replaced_only_by_saving_again(admin: Client, world: Database) -> None:
    mine = open_form(admin, EVENT)
    assert save(admin, EVENT, open_form(admin, EVENT), title="그들의 제목", venue="그들의 극장").status_code == 302
    before = world.everything()
    shown = save(admin, EVENT, mine, title="나의 제목", address="새 주소")
    assert "그들의 제목" in errors_of(shown)
    assert MEANWHILE in errors_of(shown)
    assert world.everything() == before
    page = shown.content.decode()
    assert 'value="나의 제목"' in page
    assert 'value="그들의 극장"' in page  # what does not collide is merged already
    again = {name: values[0] for name, values in ChangeForm(page).fields.items() if values}
    assert save(admin, EVENT, again).status_code == 302
    (row,) = world.rows("SELECT title, venue, address FROM events WHERE id = %s", HALL)
    assert row == {"title": "나의 제목", "venue": "그들의 극장", "address": "새 주소"}


def test_the_same_change_by_both_is_no_collision(admin: Client, world: Database) -> None:
    mine = open_form(admin, EVENT)
    for form in (open_form(admin, EVENT), mine):
        assert save(admin, EVENT, form, title="같은 제목").status_code == 302


def test_a_row_that_both_have_changed_is_shown(admin: Client, world: Database) -> None:
    mine = open_form(admin, STANDING_EVENT)
    price = f"{row_prefix(mine, STANDING_A)}price"
    assert save(admin, STANDING_EVENT, open_form(admin, STANDING_EVENT), **{price: "99000"}).status_code == 302
    before = world.everything()
    assert "99,000" in errors_of(save(admin, STANDING_EVENT, mine, title="x", **{price: "88000"}))
    assert world.everything() == before


def new_row(form: dict[str, Any], name: str, event: str) -> dict[str, Any]:
    place = form["ticket_types-TOTAL_FORMS"]
    fields = {"name": name, "price": "1000", "total_quantity": "5", "description": "", "event": event}
    row = {f"ticket_types-{place}-{field}": value for field, value in fields.items()}
    return form | row | {"ticket_types-TOTAL_FORMS": str(int(place) + 1)}


def test_a_row_that_a_colleague_has_added_stays_and_one_that_is_deleted_stays_deleted(
    admin: Client, world: Database
) -> None:
    url = f"/admin/events/event/{THEATRE}/change/"
    assert admin.post(url, new_row(open_form(admin, url), "잠깐", THEATRE)).status_code == 302
    short_lived = world.one("SELECT id FROM ticket_types WHERE name = '잠깐'")
    mine, touched = open_form(admin, url), open_form(admin, url)
    theirs = new_row(open_form(admin, url), "그들의", THEATRE)
    prefix = row_prefix(theirs, str(short_lived))
    assert admin.post(url, theirs | {f"{prefix}DELETE": "on"}).status_code == 302
    assert admin.post(url, mine | {"title": "새 제목"}).status_code == 302
    names = {row["name"] for row in world.rows("SELECT name FROM ticket_types WHERE event_id = %s", THEATRE)}
    assert "그들의" in names
    assert "잠깐" not in names
    assert world.one("SELECT title FROM events WHERE id = %s", THEATRE) == "새 제목"
    before = world.everything()
    refused = admin.post(url, touched | {f"{prefix}price": "2000"})
    assert "This row was deleted" in errors_of(refused)
    assert world.everything() == before


def test_a_row_that_a_colleague_has_changed_is_not_deleted_unseen(admin: Client, world: Database) -> None:
    url = f"/admin/events/event/{THEATRE}/change/"
    assert admin.post(url, new_row(open_form(admin, url), "잠깐", THEATRE)).status_code == 302
    row = str(world.one("SELECT id FROM ticket_types WHERE name = '잠깐'"))
    mine, theirs = open_form(admin, url), open_form(admin, url)
    prefix = row_prefix(mine, row)
    assert admin.post(url, theirs | {f"{prefix}total_quantity": "9"}).status_code == 302
    shown = admin.post(url, mine | {f"{prefix}DELETE": "on"})
    assert MEANWHILE in errors_of(shown)
    assert world.one("SELECT total_quantity FROM ticket_types WHERE id = %s", row) == 9
    seen = open_form(admin, url)
    assert admin.post(url, seen | {f"{prefix}DELETE": "on"}).status_code == 302
    assert world.one("SELECT count(*) FROM ticket_types WHERE id = %s", row) == 0


def test_saving_the_grace_time_keeps_a_pause_and_a_threshold(admin: Client, world: Database) -> None:
    add = "/admin/queueing/queuepolicy/add/"
    assert admin.post(add, open_form(admin, add) | {"event": HALL, "threshold": "500"}).status_code == 302
    mine = open_form(admin, POLICY)
    from queueing.services import change_policy

    change_policy(event_id=HALL, changes={"is_paused": True, "threshold": 3})  # type: ignore[arg-type]
    assert admin.post(POLICY, mine | {"grace_seconds": "77"}).status_code == 302
    (row,) = world.rows("SELECT is_paused, threshold, grace_seconds FROM queue_policies")
    assert row == {"is_paused": True, "threshold": 3, "grace_seconds": 77}
    assert "“3”" in errors_of(admin.post(POLICY, mine | {"threshold": "600"}))


def test_layouts_keywords_and_accounts_merge_too(admin: Client, world: Database) -> None:
    from django.contrib.auth.models import Group, User

    from events.models import KeywordMapping

    keyword = KeywordMapping.objects.create(korean="한낱말", english="one word")
    word = f"/admin/events/keywordmapping/{keyword.pk}/change/"
    mine = open_form(admin, word)
    KeywordMapping.objects.filter(pk=keyword.pk).update(english="LEE JIEUN")
    assert admin.post(word, mine | {"entity_type": "artist"}).status_code == 302
    keyword.refresh_from_db()
    assert (keyword.english, keyword.entity_type) == ("LEE JIEUN", "artist")

    seats = '{"sections": [{"name": "X", "rows": 1, "seatsPerRow": 8, "price": 1}]}'
    assert admin.post("/admin/events/seatlayout/add/", {"name": "새 배치", "layout_config": seats}).status_code == 302
    layout = world.one("SELECT id FROM seat_layouts WHERE name = '새 배치'")
    page = f"/admin/events/seatlayout/{layout}/change/"
    mine = open_form(admin, page)
    theirs = '{"sections": [{"name": "Z", "rows": 1, "seatsPerRow": 9, "price": 1}]}'
    assert admin.post(page, open_form(admin, page) | {"layout_config": theirs}).status_code == 302
    assert admin.post(page, mine | {"name": "새 이름"}).status_code == 302
    (row,) = world.rows("SELECT name, total_seats FROM seat_layouts WHERE id = %s", layout)
    assert row == {"name": "새 이름", "total_seats": 9}
    assert MEANWHILE in errors_of(admin.post(page, mine | {"layout_config": theirs.replace("Z", "Y")}))

    user, _ = User.objects.get_or_create(username="minji", defaults={"is_staff": True})
    account = f"/admin/auth/user/{user.pk}/change/"
    mine = open_form(admin, account)
    user.groups.add(Group.objects.get(name="Managers"))
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert admin.post(account, mine | {"first_name": "민지"}).status_code == 302
    user.refresh_from_db()
    assert (user.first_name, user.is_active) == ("민지", False)
    assert [group.name for group in user.groups.all()] == ["Managers"]
    user.delete()


def test_a_refused_change_changes_nothing_and_leaves_no_trace(admin: Client, world: Database) -> None:
    """The hall has seats that are sold: without its layout nothing of the form is saved."""
    before = world.everything(), world.one("SELECT count(*) FROM django_admin_log")
    entered = {"title": "새 제목", "seat_layout": "", "reason": "x"}
    refused = admin.post(EVENT, open_form(admin, EVENT) | entered)
    assert "The seat layout cannot be changed" in errors_of(refused)
    assert 'value="새 제목"' in refused.content.decode()
    assert (world.everything(), world.one("SELECT count(*) FROM django_admin_log")) == before
