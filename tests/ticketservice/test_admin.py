"""The admin as organisers use it: through its pages, beside buyers who buy through the API."""

import ast
import gettext
import html
import itertools
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.test.utils import override_settings

from tests.support.admin_pages import open_form
from tests.support.harness import (
    HALL,
    ROOT,
    STADIUM,
    STANDING,
    STANDING_A,
    STANDING_B,
    THEATRE,
    UPCOMING,
    Api,
    Database,
    new_user,
    seat,
    wait_until,
)
from tests.support.interleaving import in_a_thread, locked_row, waiting_statements
from tests.support.round_trips import Counted

EVENTS, RESERVATIONS, LAYOUTS = "/admin/events/event", "/admin/reservations/reservation", "/admin/events/seatlayout"
POLICY = f"/admin/queueing/queuepolicy/{HALL}"
ENGLISH = {"HTTP_ACCEPT_LANGUAGE": "en"}
WHY = "asked for by the venue"


def sign_in(name: str, **more: Any) -> Client:
    from django.contrib.auth.models import Group, User

    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True, **more})
    if name == "manager":
        user.groups.add(Group.objects.get(name="Managers"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def manager(world: Database) -> Client:
    return sign_in("manager")


@pytest.fixture
def viewer(world: Database) -> Client:
    return sign_in("viewer")


@pytest.fixture
def reservation(web: Api, world: Database) -> str:
    """One seat of the hall, 150,000 won, waiting for payment."""
    return str(web.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"])


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return str(answer.content.decode())


def status_of(world: Database, reservation: str) -> tuple[str, str]:
    (row,) = world.rows("SELECT status, payment_status FROM reservations WHERE id = %s", reservation)
    return row["status"], row["payment_status"]


def logged(object_id: str) -> list[tuple[str, str]]:
    """The username and the text of each entry of the history, the oldest first."""
    from django.contrib.admin.models import LogEntry

    from kernel.backoffice.history import render_log_entry

    entries = LogEntry.objects.filter(object_id=object_id).order_by("id").select_related("user")
    return [(entry.user.username, render_log_entry(entry)) for entry in entries]


@pytest.fixture(autouse=True)
def no_log(world: Database) -> None:
    world.rows("DELETE FROM django_admin_log")


# --- Languages and times ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "words"), [("ko", ["판매 중", "좌석 배치", "예매"]), ("en", ["On sale", "Seat layouts"])]
)
def test_the_admin_speaks_the_language_of_its_reader(manager: Client, language: str, words: list[str]) -> None:
    page = text(manager.get(f"{EVENTS}/", HTTP_ACCEPT_LANGUAGE=language))
    assert [word for word in words if word not in page] == []


def test_a_reader_may_choose_the_language(manager: Client) -> None:
    chosen = manager.post("/admin/language/", {"language": "en", "next": f"{EVENTS}/"}, HTTP_ACCEPT_LANGUAGE="ko")
    assert chosen.headers["Location"] == f"{EVENTS}/"
    assert manager.cookies["django_language"]["path"] == "/admin/"
    assert "On sale" in text(manager.get(f"{EVENTS}/", HTTP_ACCEPT_LANGUAGE="ko"))


def test_the_api_goes_on_in_its_own_language(manager: Client, reservation: str) -> None:
    """On the thread that has just answered a page in English."""
    from django.conf import settings

    body = {"amount": 1, "paymentId": "p", "paymentMethod": ""}
    header = {"HTTP_X_INTERNAL_TOKEN": settings.INTERNAL_API_TOKEN}
    answers = []
    for language in ("ko", "en"):
        text(manager.get(f"{EVENTS}/", HTTP_ACCEPT_LANGUAGE=language))
        url = f"/internal/reservations/{reservation}/confirm"
        answers.append(manager.post(url, body, content_type="application/json", **header).json())
    assert answers[0] == answers[1]
    assert re.search("[가-힣]", answers[0]["error"])


def test_times_are_the_venues(web: Api, manager: Client) -> None:
    """19:00 in Seoul is what the API calls 10:00."""
    assert web.get(f"/events/{HALL}").json["event"]["event_date"] == "2030-06-01T10:00:00.000Z"
    assert "2030-06-01 19:00" in text(manager.get(f"{EVENTS}/"))
    page = text(manager.get(f"{EVENTS}/{HALL}/change/"))
    assert re.search(r'value="2030-06-01"[^>]*name="event_date_0"|name="event_date_0" value="2030-06-01"', page)
    assert re.search(r'name="event_date_1" value="19:00:00"', page)


def test_what_was_entered_in_the_venues_time_is_stored_in_utc(admin_pages: Any, world: Database) -> None:
    from django.conf import settings

    with override_settings(VENUE_TIME_ZONE="America/New_York"):
        assert settings.VENUE_TIME_ZONE == "America/New_York"
        admin_pages.change_event(UPCOMING, sale_start_date=3600)
    ahead = world.one("SELECT sale_start_date FROM events WHERE id = %s", UPCOMING) - datetime.now(UTC)
    assert timedelta(minutes=55) < ahead < timedelta(minutes=61)


# --- Events -----------------------------------------------------------------------------------------------------------


def test_the_list_shows_what_is_sold_and_locked(web: Api, manager: Client, reservation: str) -> None:
    sold = web.reserve(new_user(), HALL, seat(1, 2), seat(1, 3)).json["reservation"]["id"]
    assert web.confirm(sold, 300_000).status == 200
    web.buy(new_user(), STANDING, **{STANDING_A: 4})
    page = text(manager.get(f"{EVENTS}/", **ENGLISH))
    hall = row_of(page, HALL)
    # world.sql itself has one seat sold and two locked
    assert re.search(r"<b>3</b> \(3\) / 20<", hall), hall
    standing = row_of(page, STANDING)
    assert re.search(r"<b>\d+</b> \(\d+\) / 160<", standing), standing
    assert int(re.search(r"\((\d+)\) / 160", standing)[1]) >= 4


def row_of(page: str, event_id: str) -> str:
    return next(row for row in page.split("<tr") if f"/{event_id}/change/" in row)


def test_the_list_asks_as_often_for_many_events_as_for_one(manager: Client) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries(search: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            text(manager.get(f"{EVENTS}/?q={search}"))
        return len(asked)

    queries("")
    assert queries("고척스카이돔") == queries("GOLDEN HOUR") == queries("")


@pytest.mark.parametrize(
    "query", ["status__exact=on_sale", "sale=now", "sale=week", "sale=over", "q=아이유", "_facets=True"]
)
def test_the_list_is_filtered_and_searched(manager: Client, query: str) -> None:
    shown = text(manager.get(f"{EVENTS}/?{query}"))
    expected = {"status__exact=on_sale": (True, False), "sale=now": (True, False), "sale=week": (False, False),
                "sale=over": (False, False), "q=아이유": (True, False), "_facets=True": (True, True)}  # fmt: skip
    assert (f"/{HALL}/change/" in shown, f"/{UPCOMING}/change/" in shown) == expected[query]


@pytest.mark.parametrize(
    ("changes", "korean", "english"),
    [
        ({"sale_end_date_0": "2019-01-01"}, "판매 종료는 판매 시작보다 늦어야", "The sale must end after it starts."),
        (
            {"sale_start_date_0": "2030-01-01", "sale_end_date_0": "2030-01-01", "sale_start_date_1": "10:00",
             "sale_end_date_1": "10:00"}, "판매 종료는 판매 시작보다 늦어야", "The sale must end after it starts.",
        ),
        ({"event_date_0": "2019-01-01"}, "판매 시작은 공연 일시보다 빨라야", "The sale must start before the event does."),
        ({"event_date_0": "3019-01-01"}, "연도는 2000년부터", "The year must be from 2000 to 2100."),
        ({"poster_image_url": "javascript:alert(1)"}, "https://로 시작하는 URL", "Enter a URL that starts with https://"),
        ({"poster_image_url": "//evil.example/a.png"}, "https://로 시작하는 URL", "Enter a URL that starts with https://"),
        ({"poster_image_url": "shop://["}, "https://로 시작하는 URL", "Enter a URL that starts with https://"),
        ({"max_seats_per_reservation": "101"}, "100 이하", "less than or equal to 100."),
        ({"max_tickets_per_buyer": "0"}, "1 이상", "greater than or equal to 1."),
    ],
)  # fmt: skip
def test_impossible_dates_and_values_are_refused_with_a_message(
    manager: Client, world: Database, changes: dict[str, str], korean: str, english: str
) -> None:
    url = f"{EVENTS}/{HALL}/change/"
    before = world.everything()
    for language, message in {"ko": korean, "en": english}.items():
        page = manager.post(url, open_form(manager, url) | changes, HTTP_ACCEPT_LANGUAGE=language)
        assert message in text(page)
    assert world.everything() == before


def test_an_event_may_forbid_orphans(manager: Client, world: Database, web: Api) -> None:
    url = f"{EVENTS}/{HALL}/change/"
    assert web.get(f"/events/{HALL}/sale").json["seats"] == {"forbidsOrphanSeats": False}
    form = open_form(manager, url)
    assert "forbids_orphan_seats" not in form  # the box is not ticked
    assert manager.post(url, form | {"forbids_orphan_seats": "on", "reason": WHY}).status_code == 302
    assert web.get(f"/events/{HALL}/sale").json["seats"] == {"forbidsOrphanSeats": True}
    page = text(manager.get(url))
    assert "한 좌석만 남기는 선택 금지" in page
    assert "no single seat may be left over" in text(manager.get(url, **ENGLISH)).lower()


NEW_EVENT = {
    "title": "새 공연", "venue": "새 극장",
    "event_date_0": "2031-06-01", "event_date_1": "19:00", "sale_start_date_0": "2031-01-01", "sale_start_date_1": "10:00",
    "sale_end_date_0": "2031-05-31", "sale_end_date_1": "23:59",
    "ticket_types-TOTAL_FORMS": "1", "ticket_types-0-name": "전석", "ticket_types-0-price": "50000",
    "ticket_types-0-total_quantity": "40",
}  # fmt: skip


def test_an_event_is_made_with_its_ticket_types(web: Api, manager: Client, world: Database) -> None:
    url = f"{EVENTS}/add/"
    form = open_form(manager, url) | NEW_EVENT | {"reason": WHY}
    assert manager.post(url, form).status_code == 302
    event_id = str(world.one("SELECT id FROM events WHERE title = '새 공연'"))
    shown = web.get(f"/events/{event_id}").json
    assert (shown["event"]["status"], shown["event"]["event_date"]) == ("upcoming", "2031-06-01T10:00:00.000Z")
    (ticket,) = shown["ticketTypes"]
    assert (ticket["name"], ticket["available_quantity"], ticket["total_quantity"]) == ("전석", 40, 40)
    assert WHY in logged(event_id)[0][1]


def test_a_new_event_is_not_over_already(manager: Client, world: Database) -> None:
    url, before = f"{EVENTS}/add/", world.everything()
    past = {"event_date_0": "2021-06-01", "sale_start_date_0": "2021-01-01", "sale_end_date_0": "2021-05-31"}
    assert "이미 지난 시각입니다." in text(manager.post(url, open_form(manager, url) | NEW_EVENT | past))
    assert world.everything() == before


def test_stock_that_is_sold_while_the_form_is_open_stays_sold(
    web: Api, manager: Client, world: Database, redis: Any
) -> None:
    url = f"{EVENTS}/{STANDING}/change/"
    form = open_form(manager, url)
    assert web.buy(new_user(), STANDING, **{STANDING_A: 4}).status == 201
    (name,) = [name for name, value in form.items() if value == STANDING_A and name.endswith("-id")]
    prefix = name.removesuffix("id")
    form |= {f"{prefix}name": "스탠딩 앞", f"{prefix}total_quantity": "120", "reason": WHY}
    subscriber = redis.pubsub()
    subscriber.subscribe(f"live:{STANDING}")
    assert manager.post(url, form).status_code == 302
    published = [subscriber.get_message(timeout=1) or {} for _ in range(6)]
    assert '"availableQuantity":116' in "".join(str(message.get("data")) for message in published)
    subscriber.close()
    (stock,) = world.rows("SELECT name, available_quantity, total_quantity FROM ticket_types WHERE id = %s", STANDING_A)
    assert stock == {"name": "스탠딩 앞", "available_quantity": 116, "total_quantity": 120}
    assert web.get(f"/tickets/availability/{STANDING_A}").json["available_quantity"] == 116
    assert any(WHY in note for _, note in logged(STANDING))


def test_there_cannot_be_fewer_tickets_than_are_locked_or_sold(web: Api, manager: Client, world: Database) -> None:
    url = f"{EVENTS}/{STANDING}/change/"
    form = open_form(manager, url)
    (name,) = [name for name, value in form.items() if value == STANDING_B and name.endswith("-id")]
    form[f"{name.removesuffix('id')}total_quantity"] = "40"  # 47 of 50 are locked or sold
    before = world.everything()
    assert "이미 47매가" in text(manager.post(url, form))
    assert world.everything() == before
    form[f"{name.removesuffix('id')}total_quantity"] = "47"
    world.rows(
        "UPDATE ticket_types SET available_quantity = 2 WHERE id = %s", STANDING_B
    )  # sold since the form was opened
    page = manager.post(url, form)
    assert "이미 48매가" in text(page)


def test_there_can_be_just_as_many_tickets_as_are_taken(web: Api, manager: Client, world: Database) -> None:
    url = f"{EVENTS}/{STANDING}/change/"
    form = open_form(manager, url)
    (name,) = [name for name, value in form.items() if value == STANDING_B and name.endswith("-id")]
    form |= {f"{name.removesuffix('id')}total_quantity": "47", "reason": WHY}  # 47 of 50 are locked or sold
    assert manager.post(url, form).status_code == 302
    assert world.one("SELECT available_quantity FROM ticket_types WHERE id = %s", STANDING_B) == 0


def test_a_ticket_that_is_sold_while_the_form_is_saved_stays_sold(web: Api, manager: Client, world: Database) -> None:
    """The form has found enough of them, and waits for the buyer who takes one."""
    url = f"{EVENTS}/{STANDING}/change/"
    form = open_form(manager, url)
    (name,) = [name for name, value in form.items() if value == STANDING_B and name.endswith("-id")]
    form |= {f"{name.removesuffix('id')}total_quantity": "47", "reason": WHY}
    with ThreadPoolExecutor(1) as threads, locked_row(world, "ticket_types", STANDING_B) as buyer:
        saving = threads.submit(in_a_thread, lambda: manager.post(url, form))
        wait_until(lambda: waiting_statements(world) == 1, seconds=4)
        buyer.rows("UPDATE ticket_types SET available_quantity = 2 WHERE id = %s", STANDING_B)
        buyer.rows("COMMIT")
        refused = saving.result()
    assert "이미 48매가" in text(refused)
    columns = "SELECT available_quantity, total_quantity FROM ticket_types WHERE id = %s"
    assert world.rows(columns, STANDING_B) == [{"available_quantity": 2, "total_quantity": 50}]


def test_a_new_ticket_type_is_all_left(manager: Client, world: Database) -> None:
    url = f"{EVENTS}/{THEATRE}/change/"
    form = open_form(manager, url)
    place = int(form["ticket_types-TOTAL_FORMS"])
    new = {"name": "휠체어석", "price": "90000", "total_quantity": "8", "description": "", "event": THEATRE}
    form |= {f"ticket_types-{place}-{field}": value for field, value in new.items()}
    form["ticket_types-TOTAL_FORMS"] = str(place + 1)
    assert manager.post(url, form).status_code == 302
    assert world.one("SELECT available_quantity FROM ticket_types WHERE name = '휠체어석'") == 8


def test_a_form_that_is_saved_while_the_event_is_cancelled_does_not_put_it_back(
    manager: Client, world: Database
) -> None:
    """The form's request reads the event before, and writes it after the other's commit."""
    url = f"{EVENTS}/{HALL}/change/"
    form = open_form(manager, url) | {"title": "다른 제목"}
    other = Database(world.url)
    other.rows("BEGIN")
    other.rows("UPDATE events SET status = 'cancelled' WHERE id = %s", HALL)
    commit = threading.Timer(1.0, lambda: other.rows("COMMIT"))
    commit.start()
    try:
        assert manager.post(url, form).status_code == 302
    finally:
        commit.join()
        other.close()
    (row,) = world.rows("SELECT title, status FROM events WHERE id = %s", HALL)
    assert row == {"title": "다른 제목", "status": "cancelled"}


def test_cancelling_an_event_asks_for_a_reason(web: Api, manager: Client, world: Database, reservation: str) -> None:
    paid = web.reserve(new_user(), HALL, seat(1, 2)).json["reservation"]["id"]
    web.confirm(paid, 150_000)
    url = f"{EVENTS}/{HALL}/cancel/"
    asked = text(manager.get(url, **ENGLISH))
    assert "2 paid reservations (₩250,000 to refund), 3 pending" in asked
    before = world.everything()
    assert manager.post(url, {"reason": "  "}).status_code == 200
    assert world.everything() == before
    assert logged(HALL) == []

    assert manager.post(url, {"reason": WHY}).status_code == 302
    assert world.one("SELECT status FROM events WHERE id = %s", HALL) == "cancelled"
    assert status_of(world, paid) == ("cancelled", "completed")
    assert logged(HALL) == [("manager", f"공연 취소 · 사유: {WHY}")]
    assert f"사유: {WHY}" in text(manager.get(f"{EVENTS}/{HALL}/history/"))
    steps = text(manager.get(f"{RESERVATIONS}/{paid}/change/", **ENGLISH))
    assert "Event cancelled" in steps
    assert "Refund due" in steps


def test_events_can_be_cancelled_together(manager: Client, world: Database) -> None:
    chosen = {"action": "cancel", "_selected_action": [HALL, STANDING]}
    assert 'name="confirmed"' in text(manager.post(f"{EVENTS}/", chosen))
    assert world.one("SELECT count(*) FROM events WHERE status = 'cancelled'") == 1  # of world.sql
    assert manager.post(f"{EVENTS}/", {**chosen, "confirmed": "yes", "reason": WHY}).status_code == 302
    assert world.one("SELECT count(*) FROM events WHERE status = 'cancelled'") == 3
    assert [who for who, _ in logged(STANDING)] == ["manager"]


# --- Layouts ----------------------------------------------------------------------------------------------------------


def test_a_layout_is_drawn(manager: Client, world: Database) -> None:
    layout = world.one("SELECT seat_layout_id FROM events WHERE id = %s", STADIUM)
    page = text(manager.get(f"{LAYOUTS}/{layout}/change/"))
    assert page.count('<rect class="floor"') == 3
    assert "4,900" in page
    for section in ("Floor1", "Floor2", "Floor3"):
        assert f">{section}</text>" in page


def test_a_layout_is_drawn_as_it_is_typed(viewer: Client) -> None:
    def drawn(layout_config: str, **more: Any) -> str:
        return text(viewer.post(f"{LAYOUTS}/preview/", {"layout_config": layout_config}, **more))

    side_by_side = [
        {"name": name, "rows": 3, "seatsPerRow": 20, "price": 1000, "startRow": 1} for name in ("East", "<b>")
    ]
    shown = drawn(json.dumps({"sections": side_by_side}))
    places = re.findall(
        r'translate\(([\d.]+) ([\d.]+)\)"><?\n?<rect class="floor"|translate\(([\d.]+) ([\d.]+)\)">', shown
    )
    ys = {place[1] or place[3] for place in places[1:]}
    assert len(ys) == 1, places  # beside one another
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "JSON" in drawn("{")
    assert "좌석 배치에 구역이 없습니다." in drawn("{}")
    assert "The layout has no sections." in drawn("{}", **ENGLISH)
    with_aisles = {"name": "R", "rows": 3, "seatsPerRow": 20, "price": 1000, "aisles": [5, 15], "x": 8, "y": 30}
    shown = drawn(json.dumps({"sections": [with_aisles]}))
    floors = re.findall(r'<rect class="floor" x="(\d+)" width="(\d+)"', shown)
    assert floors == [("0", "5"), ("6", "10"), ("17", "5")]  # an aisle is as wide as a seat
    assert "aisles" in drawn(json.dumps({"sections": [with_aisles | {"aisles": [20]}]}), **ENGLISH)


ONE_ROW = {"name": "A", "rows": 1, "seatsPerRow": 9, "price": 1}


@pytest.mark.parametrize(
    "layout",
    [
        json.dumps({"sections": []}),
        json.dumps({"sections": [ONE_ROW | {"name": "A\0"}]}),
        json.dumps({"sections": [ONE_ROW | {"name": "\ud800"}]}),
        json.dumps({"sections": [ONE_ROW], "more": float("nan")}),
        json.dumps({"sections": [ONE_ROW | {"rows": 2, "startRow": 2**31 - 1}]}),
        '{"sections": [{"rows": ' + "9" * 5000 + "}]}",
        '{"sections": ' + "[" * 3000,
    ],
    ids=["empty", "U+0000", "half a character", "NaN", "beyond integers", "long number", "brackets"],
)
def test_impossible_layouts_are_refused(manager: Client, world: Database, layout: str) -> None:
    before = world.everything()
    page = text(manager.post(f"{LAYOUTS}/add/", {"name": "x", "layout_config": layout}))
    assert 'class="errorlist"' in page
    assert "errornote" in text(manager.post(f"{LAYOUTS}/preview/", {"layout_config": layout}))
    assert world.everything() == before


# --- Reservations -----------------------------------------------------------------------------------------------------


def test_reservations_are_found(manager: Client, world: Database, web: Api, reservation: str) -> None:
    web.confirm(reservation, 150_000, "pay-of-the-test")
    (row,) = world.rows("SELECT reservation_number AS number, user_id FROM reservations WHERE id = %s", reservation)
    for term in (row["number"], row["number"][:10].lower(), row["user_id"], reservation, "pay-of-the-test"):
        assert row["number"] in text(manager.get(f"{RESERVATIONS}/?q={term}")), term
    for term in (new_user(), "pay-of-the", row["number"][3:]):
        assert row["number"] not in text(manager.get(f"{RESERVATIONS}/?q={term}")), term


def test_a_payment_is_confirmed_with_its_amount(manager: Client, world: Database, reservation: str) -> None:
    url = f"{RESERVATIONS}/{reservation}/confirm/"
    payment = {"payment_id": "pay-by-hand", "payment_method": "toss", "reason": WHY}
    before = world.everything()
    refused = manager.post(url, {**payment, "amount": "149999"}, follow=True, **ENGLISH)
    assert "The payment amount does not match the reservation." in text(refused)
    assert world.everything() == before
    assert logged(reservation) == []

    done = manager.post(url, {**payment, "amount": "150000"}, follow=True, **ENGLISH)
    assert "payment confirmed." in text(done)
    assert status_of(world, reservation) == ("confirmed", "completed")
    ((who, note),) = logged(reservation)
    assert who == "manager"
    assert note.endswith(f"사유: {WHY}")
    assert "결제 ID: pay-by-hand" in note
    assert "Confirm payment (payment ID: pay-by-hand" in text(done)  # in the timeline, in the reader's language


def test_a_reservation_is_cancelled_and_its_seat_is_available(
    web: Api, manager: Client, world: Database, reservation: str
) -> None:
    assert manager.post(f"{RESERVATIONS}/{reservation}/cancel/", {"reason": WHY}).status_code == 302
    assert status_of(world, reservation) == ("cancelled", "refunded")
    assert web.seat_status(HALL, seat(1, 1)) == "available"
    again = manager.post(f"{RESERVATIONS}/{reservation}/cancel/", {"reason": WHY}, follow=True)
    assert "이미 취소된 예매입니다." in text(again)
    assert len(logged(reservation)) == 1


def test_a_refund_is_recorded_for_what_was_paid(web: Api, manager: Client, world: Database, reservation: str) -> None:
    url = f"{RESERVATIONS}/{reservation}/refund/"
    assert "결제된 예매가 아닙니다." in text(manager.post(url, {"reason": WHY}, follow=True))
    assert status_of(world, reservation) == ("pending", "pending")
    web.confirm(reservation, 150_000)
    chosen = {"action": "refund", "_selected_action": [reservation], "confirmed": "yes", "reason": WHY}
    assert manager.post(f"{RESERVATIONS}/", chosen).status_code == 302
    assert status_of(world, reservation) == ("cancelled", "refunded")
    assert len(logged(reservation)) == 1


def test_the_timeline_shows_what_happened(web: Api, manager: Client, world: Database, reservation: str) -> None:
    def steps() -> list[str]:
        page = text(manager.get(f"{RESERVATIONS}/{reservation}/change/", **ENGLISH))
        return re.findall(r"<li class=\"\w*\"><strong>([^<]+)", page)

    assert steps() == ["Reserved", "Payment deadline"]
    world.expire(reservation)
    assert sorted(steps()) == ["Payment deadline passed; about to expire", "Reserved"]
    web.reserve(new_user(), HALL, seat(1, 1))  # expires the hold
    assert sorted(steps()) == ["Expired", "Not paid in time", "Reserved"]


# --- The waiting room -------------------------------------------------------------------------------------------------


def test_the_waiting_room_is_run_from_its_pages(web: Api, manager: Client, world: Database) -> None:
    """The event has no row of its own in the beginning."""
    limits = {"threshold": "1", "admissions_per_second": "2.5", "reason": WHY}
    assert manager.post(f"{POLICY}/limits/", limits).status_code == 302
    first, second = new_user(), new_user()
    assert web.post(f"/queue/check/{HALL}", user=first).json["queued"] is False
    assert web.post(f"/queue/check/{HALL}", user=second).json["queued"] is True
    live_page = f"{EVENTS}/{HALL}/live/"
    paused = manager.post(f"{POLICY}/pause/", {"reason": WHY, "next": live_page})
    assert paused.headers["Location"] == live_page
    queue = manager.get(f"{live_page}queue/").json()
    assert (queue["state"], queue["waiting"], queue["active"], queue["threshold"], queue["rate"]) == (
        "paused",
        1,
        1,
        1,
        2.5,
    )
    assert "1 waiting, 1 active" in text(manager.get(f"{POLICY}/clear/", **ENGLISH))
    manager.post(f"{POLICY}/resume/", {"reason": WHY})
    manager.post(f"{POLICY}/clear/", {"reason": WHY, "next": "https://evil.example/"}, follow=False)
    queue = manager.get(f"{live_page}queue/").json()
    assert (queue["waiting"], queue["active"]) == (0, 0)
    assert web.get(f"/queue/status/{HALL}", user=second).json["state"] == "none"
    assert [note.partition(" ·")[0].partition(" (")[0] for _, note in logged(HALL)] == [
        "입장 한도 변경", "입장 일시 중지", "입장 재개", "대기열 초기화",
    ]  # fmt: skip
    assert all(WHY in note for _, note in logged(HALL))
    assert WHY in text(manager.get(live_page))


def test_a_waiting_room_of_no_event_is_refused(manager: Client, world: Database) -> None:
    url = "/admin/queueing/queuepolicy/add/"
    form = open_form(manager, url)
    for wrong in ("nonsense", "0", "'", new_user()):
        page = manager.post(url, form | {"event": wrong})
        assert page.status_code == 200, wrong
        assert page.context["adminform"].form.errors["event"], wrong
        assert manager.get(url, {"event": wrong}).status_code == 200, wrong
    assert world.one("SELECT count(*) FROM queue_policies") == 0
    assert manager.post(url, form | {"event": HALL}).status_code == 302
    assert world.one("SELECT count(*) FROM queue_policies") == 1


@pytest.mark.parametrize("debug", [False, True])
def test_a_crash_is_logged_and_answered(
    world: Database, manager: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    from events.models import Event

    manager.raise_request_exception = False
    monkeypatch.setattr(Event, "__str__", lambda _: 1 / 0)
    with override_settings(DEBUG=debug):
        answer = manager.get(f"{EVENTS}/{HALL}/history/")
    assert answer.status_code == 500
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.exc_info
    assert "unexpected exception at /admin/" in line.getMessage()


def test_nobody_is_sent_to_another_site(manager: Client) -> None:
    done = manager.post(f"{POLICY}/pause/", {"reason": WHY, "next": "https://evil.example/"})
    assert done.headers["Location"] == f"{POLICY}/change/"


def test_the_queue_takes_one_round_trip_to_redis(counted_web: Counted, world: Database) -> None:
    session = sign_in("viewer").cookies["sessionid"].value
    headers = {"Cookie": f"sessionid={session}", "Host": "localhost"}
    path = f"{EVENTS}/{HALL}/live/queue/"
    for _ in range(3):
        assert counted_web.api.get(path, headers=headers).status == 200
    _, redis = counted_web.during(lambda: counted_web.api.get(path, headers=headers))
    assert redis == 1


# --- The live page ----------------------------------------------------------------------------------------------------


def page_data(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(re.search(r'<script id="page" type="application/json">(.*?)</script>', page)[1])
    return found


def test_the_live_page_knows_where_the_seats_are(viewer: Client, world: Database) -> None:
    data = page_data(text(viewer.get(f"{EVENTS}/{STADIUM}/live/")))
    blocks = {block["name"]: block for block in data["plan"]["blocks"]}
    places = set()
    for row in world.rows("SELECT section, row_number, seat_number FROM seats WHERE event_id = %s", STADIUM):
        block = blocks[row["section"]]
        places.add((block["x"] + row["seat_number"] - 1, block["y"] + row["row_number"] - block["firstRow"]))
    assert len(places) == 4900  # no two in one place
    assert all(0 <= x < data["plan"]["width"] and 0 <= y < data["plan"]["height"] for x, y in places)
    assert page_data(text(viewer.get(f"{EVENTS}/{STANDING}/live/")))["plan"]["blocks"] == []


def test_sales_are_counted_by_the_minute(web: Api, viewer: Client, world: Database, reservation: str) -> None:
    url = f"{EVENTS}/{HALL}/live/sales/"
    world.rows("UPDATE reservations SET event_id = NULL WHERE event_id = %s AND id <> %s", HALL, reservation)
    world.rows("UPDATE reservations SET created_at = now() - interval '3 min' WHERE id = %s", reservation)
    assert [(row["reserved"], row["sold"], row["step"]) for row in viewer.get(url).json()["sales"]] == [(1, 0, 60)]
    web.confirm(reservation, 150_000)
    first, last = viewer.get(url).json()["sales"]
    assert (first["reserved"], first["sold"], last["reserved"], last["sold"]) == (1, 0, 0, 1)
    assert last["amount"] == 150_000
    assert 120 <= last["at"] - first["at"] <= 240
    assert viewer.get(f"{EVENTS}/{THEATRE}/live/sales/").json()["sales"] == []
    seats = viewer.get(url).json()["seats"]
    found = world.rows("SELECT status, count(*) FROM seats WHERE event_id = %s GROUP BY 1", HALL)
    by_status = {row["status"]: row["count"] for row in found}
    assert seats == {
        "available": by_status["available"], "locked": by_status.get("locked", 0), "sold": by_status["sold"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("where", "secure", "socket"),
    [
        ("", False, "ws://testserver/"),
        ("", True, "wss://testserver/"),
        (":8001", False, "ws://testserver:8001/"),
        ("https://live.example.org", False, "wss://live.example.org/"),
        ("ws://live.example.org:81", True, "ws://live.example.org:81/"),
    ],
)
def test_the_live_page_knows_where_the_sockets_are(viewer: Client, where: str, secure: bool, socket: str) -> None:
    with override_settings(REALTIME_URL=where):
        page = viewer.get(f"{EVENTS}/{HALL}/live/", secure=secure)
    assert page_data(text(page))["socket"] == f"{socket}ws/seats/{HALL}"
    policy = page.headers["Content-Security-Policy"]
    assert socket.removesuffix("/") in policy.partition("connect-src")[2].split()


def test_there_is_no_live_page_of_nothing(manager: Client) -> None:
    nothing = "ffffffff-ffff-4fff-8fff-ffffffffffff"
    for path in (
        f"{EVENTS}/{nothing}/live/",
        f"{EVENTS}/{nothing}/live/queue/",
        f"/admin/queueing/queuepolicy/{nothing}/pause/",
    ):
        assert manager.post(path, {"reason": WHY}).status_code == 404, path


# --- Permissions ------------------------------------------------------------------------------------------------------

OBJECT_ACTIONS = [
    *(f"{RESERVATIONS}/4e500000-0000-4000-8000-000000000001/{name}/" for name in ("confirm", "cancel", "refund")),
    f"{EVENTS}/{HALL}/cancel/",
    *(f"{POLICY}/{name}/" for name in ("pause", "resume", "clear", "limits")),
]
PAGES = [
    "/admin/", f"{EVENTS}/", f"{EVENTS}/{HALL}/change/", f"{EVENTS}/{HALL}/history/", f"{EVENTS}/{HALL}/live/",
    f"{LAYOUTS}/", f"{LAYOUTS}/1a400000-0000-4000-8000-000000000001/change/", "/admin/events/keywordmapping/",
    f"{RESERVATIONS}/", f"{RESERVATIONS}/4e500000-0000-4000-8000-000000000001/change/", "/admin/queueing/queuepolicy/",
    "/admin/reservations/refund/",
    f"{EVENTS}/{HALL}/live/queue/", f"{EVENTS}/{HALL}/live/sales/",
]  # fmt: skip


def test_staff_may_look_and_nobody_else(viewer: Client, world: Database) -> None:
    nobody = sign_in("nobody", is_staff=False)
    for path, language in itertools.product(PAGES, ("ko", "en")):
        page = text(viewer.get(path, HTTP_ACCEPT_LANGUAGE=language))
        page = page.replace('href="/admin/reservations/refund/"', "").replace('href="/admin/reservations/refund/?', "")
        page = re.sub(
            r'href="/admin/reservations/refund/[0-9a-f-]{36}/(?=change/|history/)', "", page
        )  # pages, no actions
        assert (
            re.findall(r'href="[^"]*/(?:confirm|cancel|refund|settle|pause|resume|clear|limits)/|name="_save"', page)
            == []
        )
        scripts = re.findall(r"<script(?![^>]*src=)(?![^>]*application/json)[^>]*>|\son\w+=", page)
        assert scripts == [], "an inline script, which the content policy forbids"
        assert Client().get(path).status_code == 302
        assert nobody.get(path).status_code == 302


def test_staff_that_are_no_managers_may_not_act(viewer: Client, world: Database) -> None:
    fields = {"reason": WHY, "threshold": "5", "payment_id": "p", "amount": "100000", "payment_method": "card"}
    before = world.everything()
    for path in OBJECT_ACTIONS:
        assert viewer.get(path).status_code == 403, path
        assert viewer.post(path, fields).status_code == 403, path
        assert Client().post(path, fields).status_code == 302  # to the login page
    assert world.everything() == before
    assert world.one("SELECT count(*) FROM queue_policies") == 0
    assert world.one("SELECT count(*) FROM django_admin_log") == 0


def test_actions_and_forms_are_closed_to_them_too(viewer: Client, world: Database) -> None:
    before = world.everything()
    posts = {
        f"{EVENTS}/": {"action": "cancel", "_selected_action": [HALL], "confirmed": "yes", "reason": WHY},
        f"{RESERVATIONS}/": {"action": "cancel", "_selected_action": ["4e500000-0000-4000-8000-000000000001"],
                             "confirmed": "yes", "reason": WHY},
        f"{EVENTS}/{HALL}/change/": {"title": "x"},
        f"{EVENTS}/add/": {"title": "x"},
        f"{LAYOUTS}/add/": {"name": "x"},
        "/admin/events/keywordmapping/add/": {"korean": "x", "english": "y"},
    }  # fmt: skip
    assert {path: viewer.post(path, data).status_code for path, data in posts.items()} == dict.fromkeys(posts, 403)
    assert world.everything() == before


def test_managers_may_act_but_not_edit_or_delete(manager: Client, world: Database) -> None:
    for path in OBJECT_ACTIONS:
        assert manager.get(path).status_code == 200, path
    reservation = f"{RESERVATIONS}/4e500000-0000-4000-8000-000000000001"
    assert manager.post(f"{reservation}/change/", {"status": "confirmed"}).status_code == 403
    assert manager.post(f"{reservation}/delete/", {"post": "yes"}).status_code == 403
    assert manager.post(f"{EVENTS}/{HALL}/delete/", {"post": "yes"}).status_code == 403
    assert manager.get("/admin/auth/user/").status_code == 403


def test_object_actions_need_the_token_of_the_form(world: Database) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = sign_in("manager").cookies
    assert client.post(f"{POLICY}/pause/", {"reason": WHY}).status_code == 403
    assert world.one("SELECT count(*) FROM queue_policies") == 0


# --- Catalogues -------------------------------------------------------------------------------------------------------

APPS = ("kernel", "outbox", "events", "tickets", "queueing", "seats", "reservations", "legacy_import", "demo")
CATALOGUES = ("locale/ko/LC_MESSAGES/django", "locale/ko/LC_MESSAGES/djangojs", "locale/en/LC_MESSAGES/django",
              "kernel/backoffice/locale/ko/LC_MESSAGES/django")  # fmt: skip
HANGUL = re.compile("[가-힣]")
PLURAL_MSGIDS = {"cancelled, %(count)s reservation ended."}


def marked_in_code() -> set[str]:
    """The msgids in code and templates."""
    marks = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext"}
    msgids = set()
    for file in (path for app in APPS for path in (ROOT / app).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Name(name), args=[ast.Constant(str(msgid)), *_]) if name in marks:
                    msgids.add(msgid)
    for file in (path for app in APPS for path in (ROOT / app).rglob("templates/**/*.html")):
        msgids |= {msgid for _, msgid in re.findall(r"""\{% translate (['"])(.*?)\1""", file.read_text())}
    return msgids


def entries(path: str) -> dict[str, str]:
    """The msgids and translations of a catalogue's source."""
    source = (ROOT / f"{path}.po").read_text()
    pairs = re.findall(
        r'^msgid ((?:".*"\n)+)(?:msgid_plural .*\n)?msgstr(?:\[0\])? ((?:".*"(?:\n|$))+)', source, re.MULTILINE
    )
    return {_join(msgid): _join(translation) for msgid, translation in pairs if _join(msgid)}


def _join(lines: str) -> str:
    return "".join(ast.literal_eval(line) for line in lines.strip().split("\n"))


def test_every_text_in_the_code_is_translated() -> None:
    from django.utils.translation import gettext as translate
    from django.utils.translation import override

    marked = marked_in_code()
    korean = {msgid for msgid in marked if HANGUL.search(msgid)}
    assert len(marked) > 200
    assert len(korean) > 10
    with override("ko"):
        assert {msgid for msgid in marked - korean - PLURAL_MSGIDS if translate(msgid) == msgid} == set()
    with override("en"):
        assert {msgid for msgid in korean if translate(msgid) == msgid} == set()


def test_every_text_of_the_catalogue_is_korean_in_korean() -> None:
    """An empty translation is allowed only where Django's own takes its place, or the text is Korean already."""
    from django.utils.translation import gettext as translate
    from django.utils.translation import ngettext, override

    msgids = set(entries("locale/ko/LC_MESSAGES/django"))
    assert len(msgids) > 200
    with override("ko"):
        plural = {msgid: ngettext(msgid, msgid, 1) for msgid in PLURAL_MSGIDS | {"entry"}}
        shown = {msgid: translate(msgid) for msgid in msgids} | plural
    assert {msgid: text for msgid, text in shown.items() if not HANGUL.search(text)} == {}


@pytest.mark.parametrize("path", CATALOGUES)
def test_no_translation_is_fuzzy_and_all_keep_their_placeholders(path: str) -> None:
    assert "fuzzy" not in (ROOT / f"{path}.po").read_text()
    placeholder = re.compile(r"%\(\w+\)s|%s|\{\w*\}")
    source = {msgid: translation for msgid, translation in entries(path).items() if translation}
    assert len(source) > 10
    differ = {
        msgid
        for msgid, translation in source.items()
        if set(placeholder.findall(translation)) != set(placeholder.findall(msgid))
    }
    assert differ == set()


@pytest.mark.parametrize("path", CATALOGUES)
def test_the_compiled_catalogue_is_that_of_its_source(path: str) -> None:
    with (ROOT / f"{path}.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    source = {msgid: translation for msgid, translation in entries(path).items() if translation}
    assert len(source) > 10
    differ = {
        msgid
        for msgid, translation in source.items()
        if translation not in (compiled.gettext(msgid), compiled.ngettext(msgid, "", 1))
    }
    assert differ == set()


def test_wrong_translations_of_django_are_replaced(manager: Client) -> None:
    form = text(manager.get(f"{EVENTS}/add/", HTTP_ACCEPT_LANGUAGE="ko"))
    assert 'value="저장 후 새로 추가"' in form
    assert "저장 및 다른 이름으로 추가" not in form
    script = text(manager.get("/admin/jsi18n/", HTTP_ACCEPT_LANGUAGE="ko"))
    assert re.search(r'"Choose a Date": "(.*?)"', script)[1].encode().decode("unicode_escape") == "날짜 선택"


@pytest.mark.parametrize(
    ("language", "event", "ticket"),
    [
        ("ko", "제목, 판매 시작 및 예매당 최대 좌석 수 변경.", "티켓 종류 “스탠딩 앞”: 이름 및 총수량 변경."),
        (
            "en",
            "Changed Title, Sale start and Maximum seats per reservation.",
            "Changed name and total quantity for ticket type “스탠딩 앞”.",
        ),
    ],
)
def test_the_history_names_fields_in_the_language_of_its_reader(
    manager: Client, language: str, event: str, ticket: str
) -> None:
    url = f"{EVENTS}/{STANDING}/change/"
    form = open_form(manager, url)
    (name,) = [name for name, value in form.items() if value == STANDING_A and name.endswith("-id")]
    prefix = name.removesuffix("id")
    form |= {f"{prefix}name": "스탠딩 앞", f"{prefix}total_quantity": "120", "title": "새 제목"}
    form |= {"sale_start_date_1": "11:11:00", "max_seats_per_reservation": "3", "reason": WHY}
    assert manager.post(url, form).status_code == 302
    page = html.unescape(text(manager.get(f"{EVENTS}/{STANDING}/history/", HTTP_ACCEPT_LANGUAGE=language)))
    for part in (event.casefold(), ticket.casefold(), WHY):
        assert part in page.casefold(), re.findall(r"<td>(.*?)<.td>", page)
