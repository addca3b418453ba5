"""Swapping and dropping seats of a pending reservation in one step, which keeps its deadline."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.harness import INTERNAL, Answer, Api, Database, assert_books_agree, at_once, new_user
from tests.support.interleaving import InProcess, changed_statement, one_after_the_other
from tests.support.limited_sale import LimitedSale, let_time_pass, limited_sale
from tests.support.one_sale import in_short


def change(api: Api, user: str, reservation: str, *seats: str) -> Answer:
    return api.post(f"/reservations/{reservation}/seats", {"seatIds": list(seats)}, user=user)


def statuses(world: Database, sale: LimitedSale) -> str:
    """The first letter of each seat's status: available, locked or sold."""
    return world.one(
        "SELECT string_agg(left(status, 1), '' ORDER BY seat_number) FROM seats WHERE event_id = %s", sale.event
    )


class Held:
    """A buyer's reservation of the first two of six seats."""

    def __init__(self, api: Api, world: Database) -> None:
        self.api, self.world, self.sale, self.user = api, world, limited_sale(world, seats=6), new_user()
        world.rows("UPDATE seats SET price = 1000 * seat_number WHERE event_id = %s", self.sale.event)
        self.seats = self.sale.seats
        self.made = api.reserve(self.user, self.sale.event, *self.seats[:2]).json["reservation"]
        self.id = self.made["id"]

    def change(self, *places: int, user: str = "") -> Answer:
        return change(self.api, user or self.user, self.id, *(self.seats[place] for place in places))

    @property
    def statuses(self) -> str:
        return statuses(self.world, self.sale)


@pytest.fixture
def mine(web: Api, catalogue: Database) -> Held:
    return Held(web, catalogue)


def test_a_seat_is_swapped_and_the_deadline_stays(mine: Held) -> None:
    let_time_pass(mine.world, mine.user, 100)
    deadline = mine.world.one("SELECT deadline FROM reservations WHERE id = %s", mine.id)
    answer = mine.change(3, 1)
    assert answer.status == 200
    assert answer.json["message"] == "좌석이 변경되었습니다."
    changed = answer.json["reservation"]
    assert (changed["id"], changed["reservationNumber"]) == (mine.id, mine.made["reservationNumber"])
    assert [(seat["seat_label"], seat["price"], seat["status"]) for seat in changed["seats"]] == [
        ("R-1-4", 4000, "locked"),
        ("R-1-2", 2000, "locked"),
    ]
    assert changed["totalAmount"] == 6000
    assert mine.world.one("SELECT deadline FROM reservations WHERE id = %s", mine.id) == deadline
    assert mine.statuses == "alalaa"
    read = mine.api.get(f"/seats/reservation/{mine.id}", user=mine.user).json["reservation"]
    assert {(seat["seatLabel"], seat["price"]) for seat in read["seats"]} == {("R-1-4", 4000), ("R-1-2", 2000)}
    assert read["expires_at"] == changed["expiresAt"]
    mine.world.rows(
        "UPDATE events SET seat_layout_id = (SELECT id FROM seat_layouts LIMIT 1) WHERE id = %s", mine.sale.event
    )
    assert [mine.api.seat_status(mine.sale.event, mine.seats[place]) for place in (0, 3)] == ["available", "locked"]
    assert mine.api.confirm(mine.id, 6000).status == 200
    assert mine.statuses == "asasaa"
    assert_books_agree(mine.sale.event)


def test_a_seat_is_dropped(mine: Held) -> None:
    answer = mine.change(1)
    assert (answer.status, answer.json["reservation"]["totalAmount"]) == (200, 2000)
    assert mine.statuses == "alaaaa"
    assert mine.api.confirm(mine.id, 3000).json["code"] == "AMOUNT_MISMATCH"
    assert mine.api.confirm(mine.id, 2000).status == 200
    assert_books_agree(mine.sale.event)


def test_all_are_swapped_and_the_same_again_changes_nothing(mine: Held) -> None:
    first = mine.change(4, 5)
    before = mine.world.everything()
    assert (first.status, mine.statuses) == (200, "aaaall")
    again = mine.change(4, 5)
    assert (again.status, again.json) == (200, first.json)
    assert mine.world.everything() == before


def test_a_dropped_seat_is_closed_to_that_buyer_only(mine: Held) -> None:
    assert mine.change(1).status == 200
    assert mine.change(0).json["code"] == "SEAT_RECENTLY_RELEASED"
    assert mine.api.reserve(mine.user, mine.sale.event, mine.seats[0]).json["code"] == "SEAT_RECENTLY_RELEASED"
    assert mine.api.reserve(new_user(), mine.sale.event, mine.seats[0]).status == 201


def test_a_seat_is_taken_over_from_a_hold_that_is_past_its_time(mine: Held) -> None:
    other = mine.api.reserve(new_user(), mine.sale.event, mine.seats[2]).json["reservation"]["id"]
    mine.world.expire(other)
    assert mine.change(0, 2).status == 200
    assert mine.statuses == "lalaaa"
    assert_books_agree(mine.sale.event)


def refused_because_taken(mine: Held) -> Answer:
    assert mine.api.reserve(new_user(), mine.sale.event, mine.seats[3]).status == 201
    return mine.change(0, 3)


def refused_because_not_on_sale(mine: Held) -> Answer:
    mine.world.rows("UPDATE events SET sale_end_date = now() WHERE id = %s", mine.sale.event)
    return mine.change(0, 3)


def refused_because_paid(mine: Held) -> Answer:
    assert mine.api.confirm(mine.id, 3000).status == 200
    return mine.change(0)


def refused_because_cancelled(mine: Held) -> Answer:
    assert mine.api.cancel(mine.user, mine.id).status == 200
    return mine.change(0)


def refused_because_over(mine: Held) -> Answer:
    mine.world.expire(mine.id)
    return mine.change(0)


@pytest.mark.parametrize(
    ("try_it", "answer"),
    [
        (lambda mine: mine.change(0, 1, 2), (400, "최대 2석까지 선택 가능합니다.")),
        (lambda mine: mine.change(), (400, "Please select at least one seat")),
        (lambda mine: change(mine.api, mine.user, mine.id, "x"), (400, "Invalid seat ID format")),
        (lambda mine: change(mine.api, mine.user, "x", mine.seats[0]), (400, "Invalid id format")),
        (lambda mine: change(mine.api, mine.user, mine.id, new_user()), (400, "좌석을 찾을 수 없습니다.")),
        (lambda mine: mine.change(0, user=new_user()), (404, "예매 내역을 찾을 수 없습니다.")),
        (refused_because_taken, (400, "이미 예약된 좌석입니다. (R-1-4)")),
        (refused_because_not_on_sale, (400, "판매 중인 이벤트가 아닙니다.")),
        (refused_because_paid, (400, "이미 결제된 예매입니다.")),
        (refused_because_cancelled, (400, "이미 취소된 예매입니다.")),
        (refused_because_over, (400, "이미 만료된 예매입니다.")),
    ],
)
def test_refused(mine: Held, try_it: Callable[[Held], Answer], answer: tuple[int, str]) -> None:
    found = try_it(mine)
    assert (found.status, found.json.get("message") or found.json.get("error")) == answer
    labels = mine.world.rows(
        "SELECT s.seat_label FROM reservation_items i JOIN seats s ON s.id = i.seat_id WHERE reservation_id = %s",
        mine.id,
    )
    assert sorted(row["seat_label"] for row in labels) == ["R-1-1", "R-1-2"]


def test_nothing_is_swapped_while_somebody_pays(mine: Held) -> None:
    for call, expected in (("begin-payment", (409, "PAYMENT_IN_PROGRESS")), ("fail-payment", 200)):
        assert mine.api.post(f"/internal/reservations/{mine.id}/{call}", headers=INTERNAL).status == 200
        assert in_short(mine.change(0, 2)) == expected
    assert mine.statuses == "lalaaa"


def test_after_the_sale_has_ended_a_seat_can_still_be_dropped(mine: Held) -> None:
    mine.world.rows("UPDATE events SET sale_end_date = now() WHERE id = %s", mine.sale.event)
    assert mine.change(0).status == 200


def test_a_reservation_of_tickets_has_no_seats_to_change(web: Api, catalogue: Database) -> None:
    sale, user = limited_sale(catalogue), new_user()
    tickets = web.buy(user, sale.event, **{sale.tickets: 2}).json["reservation"]["id"]
    assert in_short(change(web, user, tickets, sale.seats[0])) == (400, "최대 0석까지 선택 가능합니다.")


# --- Beside what else happens to a reservation and to its seats -------------------------------------------------------


def pay_6000(mine: Held) -> Any:
    return in_short(mine.api.confirm(mine.id, 6000))


def cancel(mine: Held) -> Any:
    return in_short(mine.api.cancel(mine.user, mine.id))


def swap_again(mine: Held) -> Any:
    return in_short(mine.change(1, 4))


def drop(mine: Held) -> Any:
    return in_short(mine.change(1))


AFTER_A_SWAP = [
    (pay_6000, 200, "asasaa"),
    (cancel, 200, "aaaaaa"),
    (swap_again, 200, "alaala"),
    (drop, 200, "alaaaa"),
]


def swap_and_then(mine: Held, second: Callable[[Held], Any]) -> list[Any]:
    """Both wait for the reservation, the swap first: seats 1 and 2 become 2 and 4."""
    return one_after_the_other(
        mine.world,
        ("reservations", mine.id),
        lambda: in_short(mine.change(1, 3)),
        partial(second, mine),
    )


@pytest.mark.parametrize(("second", "answer", "seats"), AFTER_A_SWAP)
def test_who_waits_for_a_swap_has_the_seats_of_now(
    mine: Held, second: Callable[[Held], Any], answer: Any, seats: str
) -> None:
    assert swap_and_then(mine, second) == [200, answer]
    assert mine.statuses == seats
    assert_books_agree(mine.sale.event)


def test_a_hold_that_lapses_during_a_swap_has_the_seats_of_now(mine: Held) -> None:
    from reservations.services import expire_due

    let_time_pass(mine.world, mine.user, 299)

    def sweep() -> int:
        mine.world.one("SELECT pg_sleep(1.2)")
        return expire_due(limit=100)

    assert (
        one_after_the_other(mine.world, ("seats", mine.seats[3]), lambda: in_short(mine.change(1, 3)), sweep)[0] == 200
    )
    expire_due(limit=100)
    assert mine.statuses == "aaaaaa"
    assert_books_agree(mine.sale.event)


@pytest.mark.parametrize(
    ("module", "statement", "second"),
    [("confirming", "_CONFIRM", pay_6000), ("releasing", "_CANCEL", cancel)],
)
def test_control_without_the_lock_on_items_it_has_the_seats_of_before(
    catalogue: Database, monkeypatch: pytest.MonkeyPatch, module: str, statement: str, second: Callable[[Held], Any]
) -> None:
    mine = Held(InProcess(), catalogue)
    with changed_statement(monkeypatch, f"reservations.services.{module}", statement, "FOR UPDATE OF i\n", "\n"):
        try:
            swap_and_then(mine, second)
        except Exception:  # noqa: BLE001 - a constraint may have prevented the worst
            return
    assert mine.statuses not in [seats for _, _, seats in AFTER_A_SWAP[:2]]


def test_two_who_want_each_others_seats_do_not_deadlock(web: Api, catalogue: Database) -> None:
    for _ in range(20):
        sale, users = limited_sale(catalogue, seats=2), (new_user(), new_user())
        mine = [
            web.reserve(user, sale.event, seat).json["reservation"]["id"]
            for user, seat in zip(users, sale.seats, strict=True)
        ]
        calls = [partial(change, web, users[n], mine[n], sale.seats[1 - n]) for n in (0, 1)]
        assert {answer.status for answer in at_once(calls)} == {400}
        assert statuses(catalogue, sale) == "ll"


@pytest.mark.slow
def test_in_a_storm_of_everything_no_seat_is_sold_twice(web: Api, catalogue: Database) -> None:
    """Eight buyers reserve, swap, drop, pay and cancel among ten seats, while the sweep runs."""
    from reservations.services import expire_due

    sale = limited_sale(catalogue, seats=10, most=4)

    def live(number: int) -> list[Answer]:
        chance, answers, reservation, amount = random.Random(number), [], "", 0
        user = new_user()
        for _ in range(30):
            wanted = chance.sample(sale.seats, chance.randint(1, 2))
            if not reservation:
                user = new_user()
                answer = web.reserve(user, sale.event, *wanted)
            elif (what := chance.random()) < 0.6:
                answer = change(web, user, reservation, *wanted)
            elif what < 0.75:
                answer = web.confirm(reservation, amount)
            elif what < 0.9:
                answer = web.cancel(user, reservation)
            else:
                catalogue_of_mine.expire(reservation)
                expire_due(limit=10)
                answer = web.cancel(user, reservation)
            answers.append(answer)
            if answer.status in (200, 201) and "reservation" in answer.json:
                reservation, amount = answer.json["reservation"]["id"], answer.json["reservation"]["totalAmount"]
            if answer.json.get("message") in (
                "예매가 취소되었습니다.",
                "이미 만료된 예매입니다.",
                "이미 취소된 예매입니다.",
            ):
                reservation = ""
        return answers

    catalogue_of_mine = Database(catalogue.url)
    answers = [answer for found in at_once([partial(live, n) for n in range(8)]) for answer in found]
    catalogue_of_mine.close()
    assert {answer.status for answer in answers} <= {200, 201, 400, 409}
    assert sum(answer.status == 200 for answer in answers) > 20
    assert_books_agree(sale.event)
