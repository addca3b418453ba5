"""An organiser moves the dates of an event that is on sale, and back: selling and the status follow, each time."""

from tests.support.admin_pages import AdminPages
from tests.support.background import BackgroundProcesses
from tests.support.harness import HALL, Api, Database, new_user, seat, wait_until

DAY = 86_400.0


def shown_status(web: Api) -> str:
    return web.get(f"/events/{HALL}").json["event"]["status"]


def sells(web: Api, number: int) -> bool:
    response = web.reserve(new_user(), HALL, seat(1, number))
    assert response.status == 201 or response.json["message"] == "판매 중인 이벤트가 아닙니다."
    return response.status == 201


def test_a_sale_start_moved_to_tomorrow_stops_the_sale(
    web: Api, world: Database, background: BackgroundProcesses, admin_pages: AdminPages
) -> None:
    background.start("worker")
    assert sells(web, 1)
    admin_pages.change_event(HALL, sale_start_date=DAY)
    assert not sells(web, 2)
    wait_until(lambda: shown_status(web) == "upcoming", seconds=20)
    admin_pages.change_event(HALL, sale_start_date=-DAY)
    assert sells(web, 2)
    wait_until(lambda: shown_status(web) == "on_sale", seconds=20)


def test_a_sale_end_that_was_mistyped_can_be_mended(
    web: Api, world: Database, background: BackgroundProcesses, admin_pages: AdminPages
) -> None:
    """Also for the waiting room, which is closed once the sale is over."""
    background.start("worker")
    admin_pages.change_event(HALL, sale_end_date=-60)
    assert not sells(web, 1)
    wait_until(lambda: shown_status(web) == "ended", seconds=20)
    assert web.post(f"/queue/check/{HALL}", user=new_user()).status == 409
    admin_pages.change_event(HALL, sale_end_date=DAY)
    assert sells(web, 1)
    assert web.post(f"/queue/check/{HALL}", user=new_user()).status == 200
    wait_until(lambda: shown_status(web) == "on_sale", seconds=20)


def test_the_overview_shows_what_its_dates_put_on_sale(world: Database, admin_pages: AdminPages) -> None:
    def is_shown() -> bool:
        return f"/admin/events/event/{HALL}/live/" in admin_pages.client.get("/admin/").content.decode()

    world.rows("UPDATE events SET status = 'ended' WHERE id = %s", HALL)
    assert is_shown()
    world.rows("UPDATE events SET sale_start_date = now() + interval '1 day', status = 'on_sale' WHERE id = %s", HALL)
    assert not is_shown()
