"""The history: who changed what, from which value to which; it outlives accounts, and tells nothing that did not happen."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from tests.support.admin_pages import open_form
from tests.support.harness import HALL, STANDING, STANDING_A, Api, Database, new_user, seat

EVENT = f"/admin/events/event/{HALL}"
ENGLISH = {"HTTP_ACCEPT_LANGUAGE": "en"}
WHY = "asked for by the venue"


def sign_in(name: str, **more: Any) -> Client:
    from django.contrib.auth.models import Group, User

    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True, **more})
    user.groups.add(Group.objects.get(name="Managers"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root(world: Database) -> Client:
    world.rows("DELETE FROM django_admin_log")
    return sign_in("root", is_superuser=True)


def history(client: Client, page: str = EVENT, language: str = "en") -> str:
    shown = client.get(f"{page}/history/", HTTP_ACCEPT_LANGUAGE=language)
    assert shown.status_code == 200
    rows = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", shown.content.decode(), re.DOTALL)
    return html.unescape(" | ".join(row.strip() for row in rows))


@pytest.mark.long
@pytest.mark.parametrize("way", ["admin", "list", "command"])
def test_what_an_account_did_is_known_after_it_is_deleted(root: Client, world: Database, web: Api, way: str) -> None:
    from django.contrib.auth.models import User

    minji = sign_in("minji")
    reservation = web.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"]
    assert minji.post(f"/admin/reservations/reservation/{reservation}/cancel/", {"reason": WHY}).status_code == 302
    assert (
        minji.post(f"{EVENT}/change/", open_form(minji, f"{EVENT}/change/") | {"title": "새 제목"}).status_code == 302
    )
    world.rows("INSERT INTO django_admin_log (action_time, object_repr, action_flag, change_message, user_id, object_id, "
               "content_type_id) SELECT now(), 'x', 2, 'plain text', id, %s, (SELECT id FROM django_content_type WHERE "
               "model = 'event') FROM auth_user WHERE username = 'minji'", HALL)  # fmt: skip
    entries = world.one("SELECT count(*) FROM django_admin_log")
    user = User.objects.get(username="minji")
    if way == "admin":
        url = f"/admin/auth/user/{user.pk}/delete/"
        assert "Log entr" not in root.get(url, **ENGLISH).content.decode()
        assert root.post(url, {"post": "yes"}).status_code == 302
    elif way == "list":
        chosen = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
        assert root.post("/admin/auth/user/", chosen).status_code == 302
    else:
        user.delete()
    assert not User.objects.filter(username="minji").exists()
    assert world.one("SELECT count(*) FROM django_admin_log") == entries + (way != "command")  # the deletion itself
    shown = history(root)
    assert "minji" in shown
    assert "새 제목" in shown
    assert "plain text" in shown
    assert "By minji" in root.get(f"/admin/reservations/reservation/{reservation}/change/", **ENGLISH).content.decode()
    assert "<b>minji</b>" in root.get(f"{EVENT}/live/", **ENGLISH).content.decode()
    assert "(deleted accounts)" not in root.get("/admin/auth/user/", **ENGLISH).content.decode()


def test_the_owner_of_the_entries_of_deleted_accounts_cannot_be_deleted(root: Client, world: Database) -> None:
    from django.contrib.auth.models import User
    from django.db.models import ProtectedError

    minji = sign_in("minji")
    minji.post(f"{EVENT}/change/", open_form(minji, f"{EVENT}/change/") | {"title": "새 제목"})
    User.objects.get(username="minji").delete()
    owner = User.objects.get(username="(deleted accounts)")
    assert (owner.is_active, owner.is_staff, owner.has_usable_password()) == (False, False, False)
    with pytest.raises(ProtectedError):
        owner.delete()
    assert "minji" in history(root)


@pytest.mark.parametrize(
    ("language", "parts"),
    [
        ("en", ["Title: 아이유", "→ 새 제목", "Event date: 2030-06-01 19:00 → 2030-07-01 19:00", "Address: ", "→ –"]),
        ("ko", ["제목: 아이유", "→ 새 제목", "공연 일시: 2030-06-01 19:00 → 2030-07-01 19:00"]),
    ],
)
def test_the_history_says_old_and_new_values(root: Client, world: Database, language: str, parts: list[str]) -> None:
    url = f"{EVENT}/change/"
    entered = {"title": "새 제목", "event_date_0": "2030-07-01", "address": ""}
    assert root.post(url, open_form(root, url) | entered).status_code == 302
    shown = history(root, language=language)
    assert [part for part in parts if part not in shown] == [], shown


def test_the_history_says_old_and_new_values_of_rows_limits_and_what_was_deleted(root: Client, world: Database) -> None:
    url = f"/admin/events/event/{STANDING}/change/"
    form = open_form(root, url)
    (name,) = [name for name, value in form.items() if value == STANDING_A and name.endswith("-id")]
    price = f"{name.removesuffix('id')}price"
    was = int(str(form[price]))
    assert root.post(url, form | {price: "99000"}).status_code == 302
    assert f"Price (won): {was:,} → 99,000" in history(root, f"/admin/events/event/{STANDING}")

    policy = f"/admin/queueing/queuepolicy/{HALL}"
    for threshold in ("40", "50"):
        limits = {"threshold": threshold, "reason": WHY}
        assert root.post(f"{policy}/limits/", limits).status_code == 302
    shown = history(root, policy)
    assert "maximum active users: 1,000 → 40" in shown
    assert "maximum active users: 40 → 50" in shown

    from django.contrib.admin.models import LogEntry

    from events.models import KeywordMapping

    keyword = KeywordMapping.objects.create(korean="아이유", english="IU3")
    assert root.post(f"/admin/events/keywordmapping/{keyword.pk}/delete/", {"post": "yes"}).status_code == 302
    assert "IU3" in LogEntry.objects.get(object_id=str(keyword.pk)).change_message


def test_passwords_are_in_no_history(root: Client, world: Database) -> None:
    from django.contrib.auth.models import User

    user = User.objects.create_user("short-lived", password="correct horse battery")
    (secret,) = world.rows("SELECT password FROM auth_user WHERE id = %s", user.pk)
    assert root.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"}).status_code == 302
    assert world.one("SELECT count(*) FROM django_admin_log WHERE change_message LIKE %s",
                     f"%{secret['password'][:20]}%") == 0  # fmt: skip


def test_what_was_done_already_is_not_done_and_logged_again(root: Client, world: Database) -> None:
    policy = f"/admin/queueing/queuepolicy/{HALL}"
    for path in (f"{policy}/pause/", f"{policy}/resume/", f"{EVENT}/cancel/"):
        for expected in (1, 1):
            answer = root.post(path, {"reason": WHY}, follow=True, **ENGLISH)
            assert world.one("SELECT count(*) FROM django_admin_log") == expected, path
        assert "already" in answer.content.decode(), path
        world.rows("DELETE FROM django_admin_log")


def test_a_cancellation_that_fails_before_it_begins_is_not_logged(
    root: Client, world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event's row is locked by somebody else for longer than LOCK_TIMEOUT_MS."""
    root.raise_request_exception = False
    other = Database(world.url)
    other.rows("BEGIN")
    other.rows("UPDATE events SET venue = venue WHERE id = %s", HALL)
    try:
        assert root.post(f"{EVENT}/cancel/", {"reason": WHY}).status_code >= 500
    finally:
        other.rows("ROLLBACK")
        other.close()
    assert world.one("SELECT status FROM events WHERE id = %s", HALL) != "cancelled"
    assert world.one("SELECT count(*) FROM django_admin_log") == 0
