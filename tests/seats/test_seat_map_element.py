"""`<seat-map>` in Chromium: by mouse, finger and keyboard, by the list, and beside other buyers."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from bench.browser.servers import Changes, seat_map, serving
from tests.support import tools
from tests.support.shop import chromium

pytestmark = [pytest.mark.slow, pytest.mark.tool("chromium")]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 900}}
LISTEN = """
    window.told = [];
    for (const name of ["seatselect", "seatconflict", "seatlimit"]) {
        document.addEventListener(name, ({type, detail}) => told.push({type, ...detail}));
    }
    window.map = document.querySelector("seat-map");
    window.said = () => document.querySelector(".seat-map-status").textContent;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    tools.require("chromium")
    # Playwright runs an event loop in this thread, and Django then takes every query for one of a coroutine.
    with pytest.MonkeyPatch.context() as patch, chromium() as browser:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield browser


class Halls:
    """Pages with a map of so many seats, opened as they are asked for."""

    def __init__(self, browser: Browser, closing: ExitStack) -> None:
        self.browser = browser
        self.closing = closing

    def page(self, *, seats: int = 5_000, **options: Any) -> Any:
        data = seat_map(seats=seats)
        return self.page_of(data, Changes(data["seats"], 50), **options)

    def page_of(self, data: dict[str, Any], changes: Changes, **options: Any) -> Any:
        pages, sockets = self.closing.enter_context(serving(data, changes))
        context = self.browser.new_context(**{**DESK, "reduced_motion": "reduce", **options})
        self.closing.callback(context.close)
        page = context.new_page()
        page.goto(f"{pages}/?sockets={sockets}")
        page.wait_for_function("window.figures?.drawn && document.querySelector('.seat-map-seat')")
        page.evaluate(LISTEN)
        return page


@pytest.fixture
def halls(browser: Browser) -> Iterator[Halls]:
    with ExitStack() as closing:
        yield Halls(browser, closing)


def selected(page: Any) -> list[str]:
    labels: list[str] = page.evaluate("map.selection.map(({label}) => label)")
    return labels


def available(page: Any, count: int) -> list[str]:
    """Ids of neighbours near the stage."""
    ids: list[str] = page.evaluate(
        "count => map.seats.alternatives(map.seats.first(), count)[0].map(index => map.seats.rows[index].id)", count
    )
    return ids


def place_of(page: Any, seat: str) -> tuple[float, float]:
    """Where a seat is, on the page."""
    x, y = page.evaluate(
        """id => {
            const index = map.seats.indexes.get(id), box = map.canvas.getBoundingClientRect(), {camera} = map;
            return [box.left + (map.seats.x[index] + .5 - camera.x) * camera.scale,
                    box.top + (map.seats.y[index] + .5 - camera.y) * camera.scale];
        }""",
        seat,
    )
    return x, y


# --- Choosing ---------------------------------------------------------------------------------------------------------


def test_arrow_keys_and_enter_choose_a_seat_and_say_so(halls: Halls) -> None:
    page = halls.page()
    page.locator(".seat-map-picture").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("said() !== ''")
    first = page.evaluate("said()")
    page.keyboard.press("Enter")
    page.wait_for_function(f"said() !== {first!r}")
    (label,) = selected(page)
    assert label in first
    assert label in page.evaluate("said()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("map.camera.scale") >= 24
    assert page.evaluate("told.map(({type}) => type)") == ["seatselect"]


def test_the_list_alone_is_enough(halls: Halls) -> None:
    page = halls.page()
    page.evaluate("map.limit = 2")
    section, row = page.locator(".seat-map-fields select").all()
    section.select_option("C1")
    row.select_option("60")
    buttons = page.locator('.seat-map-seat[aria-disabled="false"]')
    buttons.nth(0).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert all(label.startswith("C1-60-") for label in selected(page))
    buttons.nth(1).focus()
    page.keyboard.press(" ")
    buttons.nth(3).focus()
    page.keyboard.press("Enter")
    assert len(selected(page)) == 2
    assert page.evaluate("told.at(-1)") == {"type": "seatlimit", "limit": 2}


def test_arrow_keys_move_within_the_row_of_the_list_and_tab_leaves_it(halls: Halls) -> None:
    page = halls.page()
    page.locator(".seat-map-seat").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "3"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "40"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"


def test_a_sold_seat_cannot_be_chosen_and_that_is_said(halls: Halls) -> None:
    page = halls.page()
    page.locator('.seat-map-seat[aria-disabled="true"]').first.click(force=True)
    page.wait_for_function("said() !== ''")
    assert selected(page) == []
    assert page.evaluate("told") == []


def test_a_click_chooses_and_a_second_one_lets_go(halls: Halls) -> None:
    page = halls.page()
    (seat,) = available(page, 1)
    page.evaluate("id => { map.showSeat(id); map.zoom(1.5); }", seat)
    page.wait_for_timeout(50)
    page.mouse.click(*place_of(page, seat))
    assert len(selected(page)) == 1
    page.mouse.click(*place_of(page, seat))
    assert selected(page) == []


def test_a_finger_is_shown_a_small_seat_before_it_chooses(halls: Halls) -> None:
    page = halls.page(**PHONE)
    (seat,) = available(page, 1)
    page.touchscreen.tap(*place_of(page, seat))
    assert selected(page) == []
    assert page.evaluate("map.camera.scale") >= 24
    page.wait_for_timeout(50)
    page.touchscreen.tap(*place_of(page, seat))
    assert len(selected(page)) == 1


def test_wheel_drag_and_buttons_move_the_picture(halls: Halls) -> None:
    page = halls.page()
    box = page.locator("seat-map canvas").first.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    before = page.evaluate("map.camera.scale")
    for _ in range(5):
        page.mouse.wheel(0, -200)
    page.wait_for_function(f"map.camera.scale > {before} * 1.5")
    y = page.evaluate("map.camera.y")
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=5)
    page.mouse.up()
    assert page.evaluate("map.camera.y") > y
    assert selected(page) == []
    page.locator(".seat-map-tools button").nth(2).click()
    assert page.evaluate("map.camera.isFitted")


def test_two_fingers_zoom(halls: Halls) -> None:
    page = halls.page(**PHONE)
    session = page.context.new_cdp_session(page)
    before = page.evaluate("map.camera.scale")
    for kind, apart in (("touchStart", 30), ("touchMove", 60), ("touchMove", 120), ("touchEnd", 0)):
        points = [{"x": 180 - apart, "y": 300, "id": 1}, {"x": 180 + apart, "y": 300, "id": 2}] if apart else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.evaluate("map.camera.scale") > 2 * before
    assert selected(page) == []


# --- Beside others ----------------------------------------------------------------------------------------------------


def test_what_is_selected_survives_a_new_snapshot_and_so_does_the_focus(halls: Halls) -> None:
    page = halls.page()
    page.evaluate("map.limit = 4")
    ids = available(page, 2)
    page.evaluate("ids => map.select(ids)", ids)
    page.locator(".seat-map-seat").nth(4).focus()
    page.evaluate("map.load({layout: map.given, seats: structuredClone(map.seats.rows)})")
    assert page.evaluate("map.selection.map(({id}) => id)") == ids
    assert page.evaluate("document.activeElement.textContent") == "5"
    assert page.evaluate("told.filter(({type}) => type === 'seatconflict')") == []


@pytest.mark.parametrize("way", ["change", "snapshot", "refusal", "refusal after the change"])
def test_a_lost_seat_is_told_with_neighbours_instead(halls: Halls, way: str) -> None:
    page = halls.page()
    lost, kept = available(page, 2)
    page.evaluate("ids => map.select(ids)", [lost, kept])
    how = {
        "change": "id => map.change([{seatId: id, status: 'locked'}])",
        "snapshot": """id => map.load({layout: map.given, seats:
            map.seats.rows.map(seat => seat.id === id ? {...seat, status: "sold"} : seat)})""",
        "refusal": "id => { map.hold([id]); map.refuse([map.seats.rows[map.seats.indexes.get(id)].seat_label]); }",
        "refusal after the change": """id => { map.hold([id]); map.change([{seatId: id, status: "locked"}]);
            const ids = [id, ...map.selection.map(({id}) => id)]; map.hold([]); map.select(ids); map.refuse([id]); }""",
    }
    page.evaluate(how[way], lost)
    conflict = page.evaluate("told.find(({type}) => type === 'seatconflict')")
    assert [seat["id"] for seat in conflict["lost"]] == [lost]
    assert page.evaluate("map.selection.map(({id}) => id)") == [kept]
    assert len(conflict["alternatives"]) == 3
    for (seat,) in conflict["alternatives"]:
        assert seat["status"] == "available"
        assert seat["id"] not in (lost, kept)
    page.wait_for_function("said() !== ''")
    instead = conflict["alternatives"][0][0]["id"]
    page.evaluate("ids => map.select(ids)", [kept, instead])
    assert sorted(page.evaluate("map.selection.map(({id}) => id)")) == sorted([kept, instead])


def test_what_this_buyer_reserves_is_no_conflict_and_ends_with_the_hold(halls: Halls) -> None:
    page = halls.page()
    ids = available(page, 2)
    page.evaluate("ids => { map.select(ids); map.hold(ids); }", ids)
    for status in ("locked", "available"):
        page.evaluate("([ids, status]) => map.change(ids.map(seatId => ({seatId, status})))", [ids, status])
    assert page.evaluate("told.filter(({type}) => type === 'seatconflict')") == []
    assert page.evaluate("map.chosen.held.size") == 0
    assert page.evaluate("ids => map.select(ids) || map.selection.length", ids) == 2


def test_what_others_do_is_not_said(halls: Halls) -> None:
    page = halls.page()
    page.evaluate("map.change(map.seats.rows.slice(0, 100).map(({id}) => ({seatId: id, status: 'locked'})))")
    page.wait_for_timeout(1_200)
    assert page.evaluate("said()") == ""


# --- The picture ------------------------------------------------------------------------------------------------------


def test_seats_that_were_drawn_alone_look_as_if_everything_had_been_drawn(halls: Halls) -> None:
    page = halls.page()
    page.evaluate("map.zoom(4)")
    page.evaluate(
        """async () => {
            const states = ["available", "locked", "sold"];
            const changes = map.seats.rows.map(({id}, number) => ({seatId: id, status: states[number * 7 % 3]}));
            map.select(map.seats.alternatives(map.seats.first(), 3)[0].map(index => map.seats.rows[index].id));
            await new Promise(requestAnimationFrame);
            for (let at = 0; at < changes.length; at += 500) {
                map.change(changes.slice(at, at + 500));
                await new Promise(requestAnimationFrame);
            }
            await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
            window.alone = map.canvas.toDataURL();
            map.redraw();
            await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
        }"""
    )
    assert page.evaluate("alone.length") > 20_000
    assert page.evaluate("alone === map.canvas.toDataURL()")


@pytest.mark.parametrize("by", ["system", "page"])
def test_dark_is_dark(halls: Halls, by: str) -> None:
    page = halls.page(color_scheme="light")
    corner = "[...map.painter.pen.getImageData(2, 2, 1, 1).data].slice(0, 3)"
    assert page.evaluate(corner) == [255, 255, 255]
    if by == "system":
        page.emulate_media(color_scheme="dark")
    else:
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"({corner})[0] < 40")


def test_with_reduced_motion_nothing_flashes_and_without_it_does(halls: Halls) -> None:
    change = (
        "map.change([{seatId: map.seats.rows[0].id, status: 'locked'}, {seatId: map.seats.rows[0].id, status: 'sold'}])"
    )
    for motion, flashes in (("reduce", 0), ("no-preference", 1)):
        page = halls.page(reduced_motion=motion)
        page.evaluate(change)
        assert page.evaluate("map.painter.flashes.size") == flashes


def test_of_50_000_seats_sections_come_first_and_seats_when_near(halls: Halls) -> None:
    page = halls.page(seats=50_000, **PHONE)
    assert page.evaluate("map.painter.showsSeats") is False
    x, y = page.evaluate(
        """() => {
            const section = map.seats.sections[20], box = map.canvas.getBoundingClientRect(), {camera} = map;
            const at = (edge, from, start) => edge + (from + 5 - start) * camera.scale;
            return [at(box.left, section.x, camera.x), at(box.top, section.y, camera.y)];
        }"""
    )
    page.touchscreen.tap(x, y)
    page.wait_for_function("map.painter.showsSeats")
    assert selected(page) == []


def test_every_target_is_large_enough_and_has_a_name(halls: Halls) -> None:
    page = halls.page(**PHONE)
    targets = page.locator("seat-map button, seat-map select").all()
    assert len(targets) > 20
    for target in targets[:12]:
        box = target.bounding_box()
        assert box["width"] >= 24
        assert box["height"] >= 44
    names = page.evaluate("[...document.querySelectorAll('seat-map button')].map(button => button.ariaLabel)")
    assert all(names)
    assert page.evaluate("document.querySelector('.seat-map-picture').ariaLabel").startswith("좌석 배치도")


def test_frames_come_over_a_real_socket(halls: Halls) -> None:
    data = seat_map(seats=5_000)
    changes = Changes(data["seats"], 50)
    page = halls.page_of(data, changes)
    threading.Timer(0.2, changes.is_on.set).start()
    page.wait_for_function("figures.changes >= 50")
    changes.is_on.clear()
    page.wait_for_timeout(300)
    shown = page.evaluate("Object.fromEntries(map.seats.rows.map(({id}, index) => [id, map.seats.seat(index).status]))")
    assert shown == {seat["id"]: seat["status"] for seat in data["seats"]}
