"""Journeys in Chromium: keyboard, list, two browsers at one seat, lost connections, deadlines, phones, languages."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.harness import HALL, STANDING, THEATRE, Database, new_user, seat
from tests.support.shop import Shop, Visitor, assert_books_agree_beside_a_browser, running_shop, violations, wait_for
from tests.support.waiting_room import set_policy

pytestmark = [pytest.mark.long, pytest.mark.tool("chromium"), pytest.mark.timeout(240)]

Come = Callable[..., Visitor]


def tab_to(page: Page, selector: str, *, most: int = 120) -> None:
    """By the keyboard alone."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def status_of(world: Database, reservation: str) -> str:
    return str(world.one("SELECT status FROM reservations WHERE id = %s", reservation))


def hold_by_keyboard(page: Page) -> str:
    """Hold what is selected; the reservation's id."""
    tab_to(page, "#hold")
    page.keyboard.press("Enter")
    page.wait_for_url("**/shop/reservations/*")
    return page.url.rpartition("/")[2]


def pay_by_keyboard(page: Page) -> None:
    tab_to(page, ".actions .primary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pay .primary:not([disabled])")
    tab_to(page, "#pay .primary")
    page.keyboard.press("Enter")
    page.wait_for_selector(".qr")


# --- Every way to buy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", ["phone", "desktop"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_buys_in_each_language_on_each_screen(sale: Database, visitor: Come, language: str, width: str) -> None:
    somebody = visitor(language=language, width=width, dark=language == "en")
    page = somebody.choose_seats(HALL)
    assert page.get_attribute("html", "lang") == language
    somebody.select(seat(1, 1))
    reservation = somebody.hold()
    somebody.pay()
    assert status_of(sale, reservation) == "confirmed"
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than the screen"
    assert_books_agree_beside_a_browser(HALL)


def test_buys_with_the_keyboard_alone(sale: Database, visitor: Come) -> None:
    page = visitor(language="en").open(f"/shop/events/{HALL}")
    page.wait_for_selector("#call .primary")
    tab_to(page, "#call .primary")
    page.keyboard.press("Enter")
    page.wait_for_selector('#map[aria-busy="false"]')
    tab_to(page, ".seat-map-picture")
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#chosen button")
    reservation = hold_by_keyboard(page)
    pay_by_keyboard(page)
    assert status_of(sale, reservation) == "confirmed"


def test_buys_by_the_list_without_the_picture(sale: Database, visitor: Come) -> None:
    page = visitor().open(f"/shop/events/{HALL}/queue")
    page.wait_for_selector('#map[aria-busy="false"]')
    page.evaluate("document.querySelector('.seat-map-picture').remove()")
    tab_to(page, ".seat-map-list select")
    page.keyboard.press("ArrowDown")
    tab_to(page, ".seat-map-seat:not(.is-sold):not(.is-locked)")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chosen button")
    reservation = hold_by_keyboard(page)
    pay_by_keyboard(page)
    assert status_of(sale, reservation) == "confirmed"


def test_buys_standing_tickets_and_gives_one_back(sale: Database, visitor: Come) -> None:
    somebody = visitor()
    page = somebody.open(f"/shop/events/{STANDING}")
    page.click("#call .primary")
    page.wait_for_url("**/tickets")
    more = page.locator("#types li .stepper button:last-child").first
    more.click()
    more.click()
    reservation = somebody.hold()
    somebody.pay()
    assert page.locator(".qr").count() == 2

    page.click("details summary >> nth=-1")
    page.check('.items input[type="checkbox"] >> nth=0')
    page.click("details .block > button")
    page.click('dialog button[value="yes"]')
    wait_for(page, lambda: page.locator(".qr").count() == 1)
    assert (
        sale.one("SELECT sum(quantity) FROM reservation_items WHERE reservation_id = %s AND is_live", reservation) == 1
    )
    assert sale.one("SELECT reason FROM refunds WHERE reservation_id = %s", reservation) == "buyer"
    assert_books_agree_beside_a_browser(STANDING)


# --- Others ------------------------------------------------------------------------------------------------------------


def test_two_browsers_race_for_one_seat(sale: Database, visitor: Come) -> None:
    """One gets it. The other is told which seat is gone, and takes one beside it with a click."""
    first, second = visitor(), visitor(language="en")
    for each in (first, second):
        each.choose_seats(HALL)
        each.select(seat(1, 2))
    # At once: neither has heard of the other.
    for each in (first, second):
        each.page.evaluate("document.getElementById('hold').click()")
    wait_for(first.page, lambda: sum("/reservations/" in each.page.url for each in (first, second)) == 1)
    winner, loser = (first, second) if "/reservations/" in first.page.url else (second, first)
    loser.page.wait_for_selector("#conflict button")
    assert "VIP-1-2" in loser.page.inner_text("#conflict")
    loser.page.click("#conflict button")
    reservations = [winner.page.url.rpartition("/")[2], loser.hold()]
    held = sale.rows(
        "SELECT s.seat_label FROM reservation_items i JOIN seats s ON s.id = i.seat_id"
        " WHERE i.is_live AND i.reservation_id = ANY(%s::uuid[])",
        reservations,
    )
    labels = {row["seat_label"] for row in held}
    assert len(held) == len(labels) == 2
    assert "VIP-1-2" in labels
    assert_books_agree_beside_a_browser(HALL)


def test_a_seat_that_is_taken_changes_in_the_other_browser(sale: Database, visitor: Come, shop: Shop) -> None:
    """From before the request of one until it is drawn in the other: the median of ten."""
    watcher, buyer = visitor(), visitor()
    watcher.choose_seats(THEATRE)
    buyer.choose_seats(THEATRE)
    watcher.page.evaluate("""() => {
        const map = document.querySelector("seat-map"), change = map.change.bind(map);
        window.drawn = {};
        map.change = (changes) => {
            change(changes);
            requestAnimationFrame(() => { for (const one of changes) window.drawn[one.seatId] = Date.now(); });
        };
    }""")
    free = sale.rows("SELECT id::text FROM seats WHERE event_id = %s AND status = 'available' LIMIT 10", THEATRE)
    delays = []
    for row in free:
        began = buyer.page.evaluate("""async ([event, seat]) => {
            const headers = {"Content-Type": "application/json", "Shop-Buyer": sessionStorage.getItem("shop-buyer")};
            const began = Date.now(), body = JSON.stringify({eventId: event, seatIds: [seat]});
            const response = await fetch("/shop/api/seats/reserve", {method: "POST", headers, body});
            if (!response.ok) throw new Error(await response.text());
            return began;
        }""", [THEATRE, row["id"]])  # fmt: skip
        wait_for(watcher.page, lambda row=row: watcher.page.evaluate("id => window.drawn[id]", row["id"]))
        delays.append(watcher.page.evaluate("id => window.drawn[id]", row["id"]) - began)
    print(f"a seat changes in the other browser after {statistics.median(delays)} ms (median), {max(delays)} ms (most)")
    assert statistics.median(delays) < 200


def test_a_lost_connection_comes_back_and_nothing_is_missed(sale: Database, visitor: Come, shop: Shop) -> None:
    somebody = visitor()
    page, lost, sockets = somebody.page, [False], []

    def route(socket: Any) -> None:
        if lost[0]:
            socket.close(code=1013)
            return
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/ws/**", route)
    somebody.choose_seats(HALL)
    somebody.select(seat(1, 1))
    lost[0] = True
    for socket in sockets:
        socket.close(code=1013)
    taken = shop.web.reserve(new_user(), HALL, seat(1, 3))
    assert taken.status == 201, taken.json
    lost[0] = False
    state = "id => { const m = document.querySelector('seat-map'); return m.seats.state[m.seats.indexes.get(id)]; }"
    wait_for(page, lambda: page.evaluate(state, seat(1, 3)) == 1, seconds=30)
    assert page.evaluate("document.querySelector('seat-map').selection.map((seat) => seat.id)") == [seat(1, 1)]
    somebody.hold()


# --- The waiting room --------------------------------------------------------------------------------------------------


@pytest.mark.tool("axe")
def test_waits_and_is_taken_on_when_it_is_the_turn(sale: Database, visitor: Come, shop: Shop) -> None:
    set_policy(shop.web, HALL, threshold=1)
    inside = new_user()
    assert shop.web.post(f"/queue/check/{HALL}", user=inside).json["state"] == "active"
    first, second = visitor(language="en"), visitor(width="phone")
    for each in (first, second):
        each.open(f"/shop/events/{HALL}/queue").wait_for_selector("#line:not([hidden])")
    assert first.page.inner_text("#position") == "1"
    assert second.page.inner_text("#position") == "2"
    assert violations(first.page) == []
    # One leaves, and the other moves up.
    first.page.click("#leave")
    first.page.click('dialog button[value="yes"]')
    first.page.wait_for_selector("#message button")
    wait_for(second.page, lambda: second.page.inner_text("#position") == "1")
    shop.web.post(f"/queue/leave/{HALL}", user=inside)
    second.page.wait_for_url("**/seats")


@pytest.mark.tool("axe")
def test_before_a_draw_it_says_how_to_check_it(sale: Database, visitor: Come, shop: Shop) -> None:
    opens = sale.one(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
    )
    set_policy(shop.web, THEATRE, opensAt=opens)
    page = visitor(language="en").open(f"/shop/events/{THEATRE}/queue")
    page.wait_for_selector("#draw:not([hidden])")
    page.click("#draw summary")
    commitment = shop.web.get(f"/queue/draw/{THEATRE}").json["commitment"]
    assert commitment in page.inner_text("#draw-facts")
    assert violations(page) == []


def test_solves_the_join_challenge_by_itself(sale: Database, browser: Any, database_url: str, logs: Path) -> None:
    with running_shop(logs, "challenge", DATABASE_URL=database_url, JOIN_CHALLENGE="proof-of-work") as shop:
        somebody = Visitor(browser, shop)
        somebody.open(f"/shop/events/{HALL}/queue")
        somebody.page.wait_for_url("**/seats", timeout=60_000)
        somebody.close()


# --- Deadlines ---------------------------------------------------------------------------------------------------------


@pytest.mark.tool("axe")
def test_more_time_is_one_click_and_a_hold_that_is_over_says_so(sale: Database, visitor: Come) -> None:
    somebody = visitor(language="en")
    page = somebody.choose_seats(HALL)
    somebody.select(seat(1, 4))
    reservation = somebody.hold()
    sale.rows(
        "UPDATE reservations SET expires_at = now() + interval '50 s', held_until = now() + interval '50 s' WHERE id = %s",
        reservation,
    )
    page.reload()
    page.wait_for_selector(".notice:not([hidden])")
    assert page.inner_text(".timer strong").startswith("0:")
    page.click(".timer + button")
    wait_for(page, lambda: page.inner_text(".timer strong").startswith(("4:", "5:")))
    sale.expire(reservation)
    page.reload()
    wait_for(page, lambda: page.inner_text("#heading") == "The time is over")
    assert violations(page) == []


def test_a_payment_that_comes_too_late_is_a_refund(sale: Database, visitor: Come) -> None:
    somebody = visitor(language="en")
    page = somebody.choose_seats(HALL)
    somebody.select(seat(1, 5))
    reservation = somebody.hold()
    page.click(".actions .primary")
    page.wait_for_selector("#pay .primary:not([disabled])")
    sale.rows(
        "UPDATE reservations SET expires_at = now() - interval '5 min', held_until = now() - interval '5 min' WHERE id = %s",
        reservation,
    )
    page.click("#pay .primary")
    wait_for(page, lambda: "The time is over" in page.inner_text("#main"))
    assert sale.one("SELECT reason FROM refunds WHERE reservation_id = %s", reservation) == "late_payment"


def test_a_declined_card_leaves_the_seats_held(sale: Database, visitor: Come) -> None:
    somebody = visitor(language="en")
    page = somebody.choose_seats(HALL)
    somebody.select(seat(1, 6))
    somebody.hold()
    page.click(".actions .primary")
    page.wait_for_selector("#pay .primary:not([disabled])")
    page.click('#pay [value="fail"]')
    page.wait_for_selector(".timer strong")
    assert "not completed" in page.inner_text("#status")
    somebody.pay()


# --- Every page and state ----------------------------------------------------------------------------------------------


@pytest.mark.tool("axe")
@pytest.mark.parametrize(("width", "dark"), [("phone", False), ("desktop", True), ("desktop", False)])
def test_axe_finds_nothing_on_any_page(sale: Database, visitor: Come, shop: Shop, width: str, dark: bool) -> None:
    somebody = visitor(width=width, dark=dark)
    page = somebody.page
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        page.wait_for_timeout(300)
        found[name] = violations(page)

    somebody.open("/").wait_for_selector("#events li")
    look("catalogue")
    page.fill("#q", "IU")
    page.wait_for_selector('#suggestions [role="option"]')
    look("suggestions")
    page.fill("#q", "nothing like this")
    page.wait_for_selector("#empty:not([hidden])")
    look("nothing found")
    page.click("#account summary")
    look("menu")
    for name, event in all_states(sale).items():
        somebody.open(f"/shop/events/{event}").wait_for_selector('#event[aria-busy="false"]')
        look(f"event {name}")
    somebody.open(f"/shop/events/{STANDING}/queue").wait_for_selector("#types li")
    look("standing tickets")
    somebody.choose_seats(HALL)
    look("seat map")
    somebody.select(seat(1, 7), seat(1, 8))
    shop.web.reserve(new_user(), HALL, seat(1, 7))
    page.wait_for_selector("#conflict:not([hidden])")
    look("conflict")
    somebody.hold()
    look("held")
    page.click(".actions .plain")
    look("question")
    page.click('dialog button[value="no"]')
    page.click(".actions .primary")
    page.wait_for_selector("#pay .primary:not([disabled])")
    look("demo payment")
    page.click("#pay .primary")
    page.wait_for_selector(".qr")
    look("paid")
    page.click("details summary >> nth=-1")
    look("cancelling")
    somebody.open("/shop/tickets").wait_for_selector(".stub")
    look("my tickets")
    somebody.open(f"/shop/reservations/{HALL}").wait_for_selector('#reservation[aria-busy="false"]')
    look("no such reservation")
    assert {name: lines for name, lines in found.items() if lines} == {}


def all_states(world: Database) -> dict[str, str]:
    return {row["status"]: row["id"] for row in world.rows("SELECT DISTINCT ON (status) status, id::text FROM events")}


def test_another_tab_is_another_person(sale: Database, visitor: Come, shop: Shop) -> None:
    somebody = visitor(language="en")
    tabs = [somebody.open("/"), somebody.context.new_page()]
    tabs[1].goto(shop.base)
    ask = """async () => {
        const headers = {"Shop-Buyer": sessionStorage.getItem("shop-buyer")};
        return (await (await fetch("/shop/session", {headers})).json()).user.id;
    }"""
    for tab in tabs:
        tab.wait_for_selector("#account summary")
    first, second = (tab.evaluate(ask) for tab in tabs)
    assert first != second
    # Somebody reloads, and stays; becomes another, and is.
    tabs[0].reload()
    tabs[0].wait_for_selector("#account summary")
    assert tabs[0].evaluate(ask) == first
    tabs[0].click("#account summary")
    name = tabs[0].locator("#account option:not(:checked)").first.inner_text()
    with tabs[0].expect_navigation():
        tabs[0].select_option("#account select", label=name)
    tabs[0].wait_for_selector("#account summary")
    assert tabs[0].inner_text("#account summary") == name
    assert tabs[0].evaluate(ask) not in (first, second)


# --- What a visit costs ------------------------------------------------------------------------------------------------


def test_a_first_visit_is_light_and_asks_no_other_host(sale: Database, visitor: Come) -> None:
    sizes = {"/": 150_000, f"/shop/events/{STANDING}/tickets": 150_000}
    for path, most in sizes.items():
        assert sum(loaded(visitor(), path).values()) < most
    everything = loaded(visitor(), f"/shop/events/{HALL}/seats")
    without_data = sum(size for url, size in everything.items() if "/shop/api/" not in url)
    assert without_data < 200_000
    print(f"the map page: {without_data} bytes without its data")


def loaded(somebody: Visitor, path: str) -> dict[str, int]:
    """What a page has loaded, by its address: bytes over the wire."""
    session = somebody.context.new_cdp_session(somebody.page)
    session.send("Network.enable")
    addresses: dict[str, str] = {}
    sizes: dict[str, int] = {}
    session.on(
        "Network.responseReceived", lambda event: addresses.update({event["requestId"]: event["response"]["url"]})
    )
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update({addresses.get(event["requestId"], "?"): int(event["encodedDataLength"])}),
    )
    somebody.open(path)
    somebody.page.wait_for_timeout(2500)
    assert [url for url in somebody.requests if not url.startswith(somebody.shop.base)] == []
    print(f"{path}: {sum(sizes.values())} bytes")
    return sizes


def test_a_token_of_somebody_else_shows_nothing(sale: Database, visitor: Come, shop: Shop) -> None:
    """Another person's reservation, by its address."""
    reserved = shop.web.reserve(new_user(), HALL, seat(1, 9)).json["reservation"]["id"]
    page = visitor(language="en").open(f"/shop/reservations/{reserved}")
    page.wait_for_selector('#reservation[aria-busy="false"]')
    assert page.inner_text("#heading") == "There is no such reservation."
