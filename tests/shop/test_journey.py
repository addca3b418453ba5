"""The short journey: from the catalogue to a ticket, in Chromium."""

import re
from collections.abc import Callable

import pytest

from tests.support.harness import HALL, Database, seat
from tests.support.shop import Visitor, assert_books_agree_beside_a_browser

pytestmark = [pytest.mark.slow, pytest.mark.tool("chromium"), pytest.mark.timeout(120)]


def test_from_the_catalogue_to_a_ticket(sale: Database, visitor: Callable[..., Visitor]) -> None:
    somebody = visitor(width="phone")
    page = somebody.open("/")
    page.fill("#q", "IU")
    page.wait_for_selector(f'#events a[href="/shop/events/{HALL}"]')
    page.click(f'#events a[href="/shop/events/{HALL}"]')
    somebody.choose_seats(HALL)
    somebody.select(seat(1, 1), seat(1, 2))
    assert page.inner_text("#total") == "300,000원"

    reservation = somebody.hold()
    assert re.fullmatch(r"[45]:\d\d", page.inner_text(".timer strong"))
    somebody.pay()

    assert page.locator(".qr").count() == 2
    assert sale.one("SELECT status FROM reservations WHERE id = %s", reservation) == "confirmed"
    somebody.open("/shop/tickets")
    page.wait_for_selector(".stub .pill.confirmed")
    assert {url for url in somebody.requests if not url.startswith(somebody.shop.base)} == set(), "another host"
    assert_books_agree_beside_a_browser(HALL)
