"""An event gets seats, or others, while it is on sale: of a sale and another layout one succeeds; other sales go on."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

from tests.support.harness import Api, Database, wait_until
from tests.support.interleaving import in_a_thread, one_after_the_other, waiting_statements
from tests.support.one_sale import LargeSale, sell

SMALL_HALL = UUID("1a400000-0000-4000-8000-000000000001")  # of world.sql, 20 seats


def change_layout(sale: LargeSale) -> Any:
    from reservations.errors import LayoutInUse
    from reservations.services import change_layout

    try:
        change_layout(event_id=UUID(sale.event), layout_id=SMALL_HALL)
    except LayoutInUse:
        return "in use"
    return "changed"


def number_of_seats(sale: LargeSale) -> int:
    return sale.world.one("SELECT count(*) FROM seats WHERE event_id = %s", sale.event)


def test_who_buys_first_keeps_the_layout(web: Api, catalogue: Database) -> None:
    for held in (0, 2):
        sale = LargeSale(web, catalogue, "seat").begin("free")
        calls = partial(sell, sale), partial(change_layout, sale)
        assert one_after_the_other(catalogue, ("seats", sale.places[held]), *calls) == [201, "in use"]
        assert number_of_seats(sale) == 3


def test_seats_of_the_old_layout_are_no_more_for_who_comes_second(web: Api, catalogue: Database) -> None:
    sale = LargeSale(web, catalogue, "seat").begin("free")
    calls = partial(change_layout, sale), partial(sell, sale)
    assert one_after_the_other(catalogue, sale.held_at, *calls) == ["changed", 400]
    assert number_of_seats(sale) == 20


def test_tickets_are_sold_while_seats_are_generated(web: Api, catalogue: Database) -> None:
    """Held in the middle by somebody who has just made one of the seats."""
    from seats.services import generate_seats

    sale = LargeSale(web, catalogue, "tickets").begin("free")
    catalogue.rows("DELETE FROM seats WHERE event_id = %s", sale.event)
    catalogue.rows("UPDATE events SET seat_layout_id = %s WHERE id = %s", SMALL_HALL, sale.event)
    somebody = Database(catalogue.url)
    somebody.rows("BEGIN")
    somebody.rows(
        "INSERT INTO seats (event_id, section, row_number, seat_number, seat_label, price)"
        " VALUES (%s, 'VIP', 1, 1, 'VIP-1-1', 1)",
        sale.event,
    )
    with ThreadPoolExecutor(1) as threads:
        try:
            generating = threads.submit(in_a_thread, partial(generate_seats, event_id=UUID(sale.event)))
            wait_until(lambda: waiting_statements(catalogue) == 1, seconds=4)
            assert sell(sale) == 201
            assert not generating.done()
        finally:
            somebody.close()
        assert generating.result() == number_of_seats(sale) == 20
