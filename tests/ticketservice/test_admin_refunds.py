"""The admin's list of refunds, with its sums."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client

from tests.support.harness import Api, Database
from tests.support.one_sale import Sale, call_off, cancel

REFUNDS = "/admin/reservations/refund"
ENGLISH: dict[str, Any] = {"headers": {"Accept-Language": "en"}}


def sign_in(*groups: str) -> Client:
    users = get_user_model().objects
    users.filter(username="of refunds").delete()
    user = users.create(username="of refunds", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def sales(web: Api, world: Database) -> list[Sale]:
    """Three that are to be refunded: 1,000 and twice 3,000."""
    found = [Sale(web, world, kind).begin("paid") for kind in ("seat", "tickets", "tickets")]
    for sale, end in zip(found, (cancel, cancel, call_off), strict=True):
        assert end(sale) in (200, 1)
    return found


def refund_of(world: Database, sale: Sale) -> str:
    return str(world.one("SELECT id::text FROM refunds WHERE reservation_id = %s", sale.id))


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_the_list_has_sums_of_what_its_filters_leave(sales: list[Sale], world: Database) -> None:
    manager = sign_in("Managers")
    assert "Due: ₩7,000 (3) · refunded: ₩0 (0)" in text(manager.get(f"{REFUNDS}/", **ENGLISH))
    assert "환불 대기 7,000원 (3건)" in text(manager.get(f"{REFUNDS}/", headers={"Accept-Language": "ko"}))
    chosen = {"action": "settle", "_selected_action": [refund_of(world, sale) for sale in sales[1:]],
              "confirmed": "yes", "reason": "Paid by hand"}  # fmt: skip
    assert manager.post(f"{REFUNDS}/", chosen).status_code == 302
    assert "Due: ₩1,000 (1) · refunded: ₩6,000 (2)" in text(manager.get(f"{REFUNDS}/", **ENGLISH))
    for query, sums in {
        "refund=due": "Due: ₩1,000 (1) · refunded: ₩0 (0)",
        "refund=done": "Due: ₩0 (0) · refunded: ₩6,000 (2)",
        "reason__exact=event_cancelled": "Due: ₩0 (0) · refunded: ₩3,000 (1)",
        f"q=of {sales[0].id}": "Due: ₩1,000 (1) · refunded: ₩0 (0)",
        "q=nothing": "Due: ₩0 (0) · refunded: ₩0 (0)",
    }.items():
        assert sums in text(manager.get(f"{REFUNDS}/?{query}", **ENGLISH)), query
    assert [sale.end for sale in sales] == [("cancelled", "refunded", False, "available")] * 3


def test_one_refund_is_shown_with_its_part_and_settled(web: Api, world: Database) -> None:
    sale = Sale(web, world, "tickets").begin("paid")
    items = [{"ticketTypeId": sale.place, "quantity": 2}]
    assert web.post(f"/reservations/{sale.id}/cancel", {"items": items}, user=sale.user).status == 200
    page, manager = f"{REFUNDS}/{refund_of(world, sale)}", sign_in("Managers")
    shown = text(manager.get(f"{page}/change/", **ENGLISH))
    assert f"{sale.place} x 2" in shown
    assert "cancelled by the buyer" in shown
    assert manager.post(f"{page}/settle/", {"reason": "Paid by hand"}).status_code == 302
    assert world.one("SELECT done_at IS NOT NULL FROM refunds")
    assert f"{page}/settle/" not in text(manager.get(f"{page}/change/", **ENGLISH))


def test_others_of_the_staff_only_look(sales: list[Sale], world: Database) -> None:
    viewer = sign_in()
    assert "Due: ₩7,000 (3)" in text(viewer.get(f"{REFUNDS}/", **ENGLISH))
    page = f"{REFUNDS}/{refund_of(world, sales[0])}"
    assert viewer.post(f"{page}/settle/", {"reason": "Why not"}).status_code == 403
    assert viewer.get(f"{REFUNDS}/add/").status_code == 403
    assert world.one("SELECT count(*) FROM refunds WHERE done_at IS NULL") == 3


def test_the_cancellation_deadline_of_an_event_is_set(admin_pages: Any, world: Database) -> None:
    from tests.support.admin_pages import open_form

    event = world.add_event()
    url = f"/admin/events/event/{event}/change/"
    for hours, stored in (("8761", None), ("-1", None), ("24", 24), ("", None)):
        form = {**open_form(admin_pages.client, url), "cancellation_hours": hours, "reason": "As agreed"}
        admin_pages.client.post(url, form)
        assert world.one("SELECT cancellation_hours FROM events WHERE id = %s", event) == stored
