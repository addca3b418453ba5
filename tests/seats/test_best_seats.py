"""Which seats are the best: compared with a search through all possibilities. Where seats are: from their layout."""

import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from events.errors import ImpossibleLayout
from tests.support.best_seats import (
    HALL,
    SeatMap,
    Wanted,
    add_hall,
    add_rows,
    ask_for_best,
    random_wish,
    sell,
)
from tests.support.harness import Api, Database, manage
from tests.support.seat_layouts import SECTION, new_event

MAPS = 1_000
CALLS = 50
SOLD = 0.8


# --- The best ---------------------------------------------------------------------------------------------------------


def assert_best(world: Database, maps: range, *, sold: Sequence[float]) -> None:
    """Chooses in random maps, of each of which one of these parts is sold, and looks at every possibility."""
    event, seats = add_hall(world)
    by_id = {seat.id: seat for seat in seats}
    assert len(seats) == 5_000
    rows: Counter[int] = Counter()
    for number in maps:
        chance = random.Random(number)
        gone = {seat.id for seat in chance.sample(seats, int(chance.choice(sold) * len(seats)))}
        sell(world, event, list(gone))
        free = [seat for seat in seats if seat.id not in gone]
        wanted, seat_map = random_wish(chance, free), SeatMap(free)
        expected, chosen = seat_map.best_rank(wanted), ask_for_best(world, event, wanted)
        found = [by_id[seat_id] for seat_id in chosen or ()]
        rows[expected[0] if expected else 0] += 1
        if expected is None:
            assert chosen is None, (number, wanted)
            continue
        assert len(set(found)) == wanted.quantity, (number, wanted)
        assert all(seat.id not in gone and wanted.is_met_by(seat) for seat in found), (number, wanted)
        assert seat_map.rank(found) == expected, (number, wanted)
    print(f"in one row, in two, nowhere: {rows[1]}, {rows[2]}, {rows[0]}")
    assert rows[1] > 0 < rows[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("maps", [range(50), pytest.param(range(50, MAPS), marks=pytest.mark.long)], ids=str)
def test_the_best_seats_of_a_thousand_random_maps(catalogue: Database, maps: range) -> None:
    assert_best(catalogue, maps, sold=[SOLD])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_best_seats_while_many_are_available(catalogue: Database) -> None:
    """Of which the rows of the nearest are looked at first."""
    assert_best(catalogue, range(MAPS, MAPS + 150), sold=[0, 0.2, 0.4, 0.6, 0.65])


@pytest.mark.parametrize(
    ("rows", "quantity", "best"),
    [
        (("......",), 2, {"R-1-3", "R-1-4"}),  # the middle
        ((".....",), 2, {"R-1-1", "R-1-2"}),  # the middle would leave the first one alone
        (("xx.xx", "....."), 1, {"R-1-3"}),  # one that stands alone anyway
        (("..x..", "....."), 3, {"R-2-1", "R-2-2", "R-2-3"}),  # two rows are nearer, and only for those who need them
        (("...xx", "xx..x", "xx..x"), 4, {"R-2-3", "R-2-4", "R-3-3", "R-3-4"}),  # behind one another
        (("x..xx", "xxxxx", "..xxx"), 4, {"R-1-2", "R-1-3", "R-3-1", "R-3-2"}),  # anywhere, rather than not at all
        ((".x.x.",), 2, {"R-1-1", "R-1-3"}),
        (("..x..", "xxxxx"), 5, None),
        ((".x.x.",), 3, None),  # never in three
    ],
)
def test_what_is_best(catalogue: Database, rows: tuple[str, ...], quantity: int, best: set[str] | None) -> None:
    event, seats = add_rows(catalogue, *rows)
    chosen = ask_for_best(catalogue, event, Wanted(quantity))
    labels = {seat_id: label for label, seat_id in seats.items()}
    assert (chosen and {labels[seat_id] for seat_id in chosen}) == best


def test_neighbours_do_not_sit_across_an_aisle(catalogue: Database) -> None:
    event, seats = add_hall(catalogue, [{"name": "R", "rows": 1, "seatsPerRow": 7, "price": 1, "aisles": [2, 5]}])
    chosen = ask_for_best(catalogue, event, Wanted(3))
    assert chosen is not None
    assert sorted(seat.position for seat in seats if seat.id in chosen) == [3, 4, 5]
    assert ask_for_best(catalogue, event, Wanted(6)) is None


def test_accessible_seats_are_for_those_who_ask(catalogue: Database) -> None:
    accessible = [{"row": 1, "seats": [3, 4]}, {"row": 2}]
    event, seats = add_hall(
        catalogue, [{"name": "R", "rows": 2, "seatsPerRow": 6, "price": 1, "accessible": accessible}]
    )
    by_id = {seat.id: seat for seat in seats}

    def best(quantity: int, *, accessible: bool) -> set[tuple[int, int]]:
        chosen = ask_for_best(catalogue, event, Wanted(quantity, accessible=accessible))
        return {(by_id[seat_id].row, by_id[seat_id].position) for seat_id in chosen or ()}

    assert best(2, accessible=False) in ({(1, 1), (1, 2)}, {(1, 5), (1, 6)})
    assert best(3, accessible=False) == set()
    assert best(2, accessible=True) == {(1, 3), (1, 4)}
    assert best(4, accessible=True) == {(2, 1), (2, 2), (2, 3), (2, 4)}


def test_seats_that_nobody_has_placed_have_neighbours_by_their_numbers(catalogue: Database) -> None:
    event, seats = add_rows(catalogue, "..x...")
    catalogue.rows("UPDATE seats SET block = 0, position = 0, x = 0, y = 0 WHERE event_id = %s", event)
    chosen = ask_for_best(catalogue, event, Wanted(3))
    assert set(chosen or ()) == {seats["R-1-4"], seats["R-1-5"], seats["R-1-6"]}


# --- Where seats are --------------------------------------------------------------------------------------------------


def places(world: Database, event: str) -> list[dict]:
    return world.rows(
        "SELECT section, row_number, seat_number, x, y, block, position, accessible FROM seats WHERE event_id = %s"
        " ORDER BY section, row_number, seat_number",
        event,
    )


def test_seats_stand_where_the_layout_says(catalogue: Database) -> None:
    left = {"name": "L", "rows": 2, "seatsPerRow": 3, "price": 1, "startRow": 4, "x": -10, "y": 2.5, "aisles": [2]}
    event, _ = add_hall(catalogue, [{**left, "accessible": [{"row": 5, "seats": [1]}]}])
    # In the middle of the section, 4 wide with its aisle, is x = -10; its front is 2.5 rows behind the stage.
    assert [(row["seat_number"], row["x"], row["y"], row["block"], row["position"]) for row in places(catalogue, event)] == [
        (1, -11.5, 3, 1, 1), (2, -10.5, 3, 1, 2), (3, -8.5, 3, 2, 3),
        (1, -11.5, 4, 1, 1), (2, -10.5, 4, 1, 2), (3, -8.5, 4, 2, 3),
    ]  # fmt: skip
    assert [row["row_number"] for row in places(catalogue, event) if row["accessible"]] == [5]


def test_sections_without_a_place_stand_behind_one_another(catalogue: Database) -> None:
    _, seats = add_hall(catalogue, HALL[:2])
    for section in ("R", "S"):
        of_section = [seat for seat in seats if seat.section == section]
        assert sum(seat.x for seat in of_section) == 0
    assert max(seat.y for seat in seats if seat.section == "R") < min(seat.y for seat in seats if seat.section == "S")


def test_what_others_have_added_is_placed(world: Database, database_url: str) -> None:
    from seats.services import generate_missing_seats, place_seats

    event, seats = add_hall(world)
    before = places(world, event)
    unplace = "UPDATE seats SET x = 0, y = 0, block = 0, position = 0, accessible = false WHERE event_id = %s"
    world.rows(unplace, event)
    assert generate_missing_seats() == 0  # every minute, by a task
    assert places(world, event) == before
    assert world.one("SELECT count(*) FROM seats WHERE block = 0") == 0  # also those of world.sql
    world.rows(unplace, event)
    done = manage("generate_seats", event, DATABASE_URL=database_url)
    assert (done.returncode, places(world, event) == before) == (0, True), done.stderr
    world.rows("UPDATE events SET seat_layout_id = NULL WHERE id = %s", event)
    world.rows(unplace, event)
    assert place_seats(event_id=UUID(event)) == len(seats)  # in no layout: in one block of their row
    assert {row["block"] for row in places(world, event)} == {1}


def test_a_sale_goes_on_while_seats_are_placed(world: Database) -> None:
    from seats.services import place_seats

    event, seats = add_hall(world, [SECTION])
    world.rows("UPDATE seats SET block = 0 WHERE event_id = %s", event)
    buyer = Database(world.url)
    buyer.rows("BEGIN")
    buyer.rows("SELECT FROM seats WHERE id = %s FOR UPDATE", seats[0].id)
    assert place_seats(event_id=UUID(event)) == len(seats) - 1
    buyer.close()
    assert place_seats(event_id=UUID(event)) == 1


def test_the_seat_map_has_no_new_field(web: Api, catalogue: Database) -> None:
    event, _ = add_hall(catalogue, [SECTION])
    (seat, *_) = web.get(f"/seats/events/{event}").json["seats"]
    assert set(seat) == {"id", "section", "row_number", "seat_number", "seat_label", "price", "status"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"aisles": 3}, "aisles must be"),
        ({"aisles": [0]}, "aisles must be"),
        ({"aisles": [5]}, "aisles must be"),  # after the last seat
        ({"aisles": [2, 2]}, "aisles must be"),
        ({"aisles": [True]}, "aisles must be"),
        ({"aisles": ["2"]}, "aisles must be"),
        ({"accessible": {"row": 1}}, "accessible must be"),
        ({"accessible": [1]}, "accessible must be"),
        ({"accessible": [{"row": 3}]}, "accessible must be"),
        ({"accessible": [{"seats": [1]}]}, "accessible must be"),
        ({"accessible": [{"row": 1, "seats": [6]}]}, "accessible must be"),
        ({"accessible": [{"row": 1}] * 1001}, "accessible must be"),
        ({"x": 1}, "y must be"),
        ({"y": 1}, "x must be"),
        ({"x": "1", "y": 1}, "x must be"),
        ({"x": 0, "y": -1}, "y must be"),
        ({"x": 10_001, "y": 1}, "x must be"),
        ({"x": True, "y": 1}, "x must be"),
    ],
)
def test_impossible_places_are_refused(catalogue: Database, more: dict, reason: str) -> None:
    from seats.services import generate_seats

    event = new_event(catalogue, {**SECTION, **more})
    with pytest.raises(ImpossibleLayout, match=reason):
        generate_seats(event_id=event)


# --- How long it takes ------------------------------------------------------------------------------------------------


def cpu_seconds(process: int) -> float:
    """Of a process on this machine, which may be busy with others."""
    of_process = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(of_process[11]) + int(of_process[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
@pytest.mark.parametrize("quantity", [2, 4, 8])
def test_choosing_takes_less_than_20_ms_of_postgresql(catalogue: Database, quantity: int) -> None:
    event, seats = add_hall(catalogue)
    sell(catalogue, event, [seat.id for seat in random.Random(1).sample(seats, int(SOLD * len(seats)))])
    catalogue.rows("VACUUM ANALYZE seats")
    backend = catalogue.one("SELECT pg_backend_pid()")
    ask_for_best(catalogue, event, Wanted(quantity))
    times, before = [], cpu_seconds(backend)
    for _ in range(CALLS):
        started = time.perf_counter()
        assert ask_for_best(catalogue, event, Wanted(quantity))
        times.append((time.perf_counter() - started) * 1000)
    cpu = (cpu_seconds(backend) - before) / CALLS * 1000
    print(
        f"{quantity} seats: {cpu:.1f} ms of CPU; {min(times):.1f} ms at best, {sorted(times)[CALLS // 2]:.1f} ms usually"
    )
    assert cpu < 20
