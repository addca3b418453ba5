"""What buyers read of their reservations: one by ticket type with its deadline, and long lists in pages."""

import pytest

from tests.support.harness import HALL, STANDING, STANDING_A, STANDING_B, Api, Database, new_user, seat

MANY = 20_000


def test_an_order_by_ticket_type_has_an_entry_for_each_item(web: Api, world: Database) -> None:
    user = new_user()
    order = web.buy(user, STANDING, **{STANDING_A: 2, STANDING_B: 1}).json["reservation"]["id"]
    found = web.get(f"/seats/reservation/{order}", user=user).json["reservation"]
    no_seat = {"seatId": None, "seatLabel": None, "section": None, "rowNumber": None, "seatNumber": None}
    assert found["seats"] == [
        {**no_seat, "price": 120_000, "ticketTypeName": "스탠딩 A", "quantity": 2},
        {**no_seat, "price": 80_000, "ticketTypeName": "스탠딩 B", "quantity": 1},
    ]
    assert found["expires_at"] is not None
    by_seat = web.reserve(user, HALL, seat(1, 1)).json["reservation"]["id"]
    (entry,) = web.get(f"/seats/reservation/{by_seat}", user=user).json["reservation"]["seats"]
    assert entry == {
        "seatId": seat(1, 1), "seatLabel": "VIP-1-1", "section": "VIP", "rowNumber": 1, "seatNumber": 1, "price": 150_000,
    }  # fmt: skip


@pytest.fixture
def busy_user(world: Database) -> str:
    """Somebody with MANY reservations, each of one ticket; the newest first is number 20000."""
    user = new_user()
    world.rows(
        "INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, status, payment_status, created_at)"
        " SELECT %s, %s, 'N' || n, 0, 'cancelled', 'refunded', now() - (20000 - n) * interval '1 s'"
        f" FROM generate_series(1, {MANY}) n",
        user,
        STANDING,
    )
    world.rows(
        "INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal)"
        " SELECT id, %s, 1, 0, 0 FROM reservations WHERE user_id = %s",
        STANDING_A,
        user,
    )
    world.rows("ANALYZE reservations, reservation_items")
    return user


def numbers(answer) -> list[int]:
    return [int(found["reservation_number"][1:]) for found in answer.json["reservations"]]


@pytest.mark.long
def test_a_long_list_is_cut_off_where_the_header_says_and_read_in_pages(
    web: Api, world: Database, busy_user: str
) -> None:
    answer = min((web.get("/reservations/my", user=busy_user) for _ in range(3)), key=lambda answer: answer.seconds)
    most = int(answer.headers["reservations-limit"])
    assert list(answer.json) == ["reservations"]
    assert numbers(answer) == list(range(MANY, MANY - most, -1))
    assert all(len(found["items"]) == 1 for found in answer.json["reservations"])
    assert answer.seconds < 2  # on a busy machine, where all 20,000 take 13 s

    for page, limit, first in ((1, 100, MANY), (2, 100, MANY - 100), (200, 100, 100), (4000, 5, 5)):
        answer = web.get(f"/reservations/my?page={page}&limit={limit}", user=busy_user)
        assert numbers(answer) == list(range(first, first - limit, -1))
        pages = MANY // limit
        assert answer.json["pagination"] == {"page": page, "limit": limit, "total": MANY, "totalPages": pages}
        assert answer.headers["reservations-limit"] == str(limit)
        assert answer.seconds < 2


@pytest.mark.parametrize(("query", "limit", "count"), [
    ("?page=2", 10, 0), ("?limit=2", 2, 2), ("?limit=1000", 100, 3), ("?page=999999999999999", 10, 0), ("", 1000, 3),
])  # fmt: skip
def test_pages_are_as_those_of_the_event_list(web: Api, world: Database, query: str, limit: int, count: int) -> None:
    user = new_user()
    for _ in range(3):
        web.buy(user, STANDING, **{STANDING_A: 1})
    answer = web.get(f"/reservations/my{query}", user=user)
    assert (answer.status, len(answer.json["reservations"])) == (200, count)
    assert answer.headers["reservations-limit"] == str(limit)


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=", "limit=x", "limit=0", "page=1&page=2", "page=%00"])
def test_bad_pages_are_rejected(web: Api, world: Database, query: str) -> None:
    answer = web.get(f"/reservations/my?{query}", user=new_user())
    assert (answer.status, list(answer.json)) == (400, ["error"])
