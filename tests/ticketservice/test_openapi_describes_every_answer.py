"""What is answered is what the OpenAPI document says, and everything that it says is answered one day."""

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtools.embedded import Servers
from tests.support import waitlist
from tests.support.harness import (
    ENTRY_TOKEN,
    HALL,
    INTERNAL,
    STANDING,
    STANDING_A,
    STANDING_B,
    THEATRE,
    TOKENS,
    UPCOMING,
    Api,
    Database,
    at_once,
    new_user,
    running_web,
    seat,
    token,
)
from tests.support.limited_sale import LimitedSale, let_time_pass, limited_sale
from tests.support.openapi import BUYER, GARBAGE, NOBODY, Asker, Described

pytestmark = pytest.mark.slow

ENDED = "e0e00000-0000-4000-8000-000000000005"
CANCELLED = "4e500000-0000-4000-8000-000000000005"  # a reservation of the buyer
NOTHING = "99999999-9999-4999-8999-999999999999"
# Show how long a component took to answer, which is hardly ever the same twice.
MEASURED = {"getHealthDb", "getHealthRedis", "getHealthAll", "getHealthReady"}
# Touch nothing that could fail.
SAFE = MEASURED | {"getHealth", "getHealthLive", "getApiDocument", "getAsyncApiDocument", "getApiPage"}
IDS = {
    "getEvent": HALL,
    "getAvailability": STANDING_B,
    "listTicketTypes": STANDING,
    "getSeatMap": HALL,
    "getSeatReservation": "4e500000-0000-4000-8000-000000000001",
    "getReservation": "4e500000-0000-4000-8000-000000000008",
    "cancelReservation": "4e500000-0000-4000-8000-000000000008",
    "changeSeats": "4e500000-0000-4000-8000-000000000001",
    "getSale": HALL,
    "extendReservation": "4e500000-0000-4000-8000-000000000008",
    "beginPayment": NOTHING,
    "failPayment": NOTHING,
    "confirmReservation": NOTHING,
    "refundReservation": NOTHING,
    "settleRefund": NOTHING,
    "cancelEvent": ENDED,
}


def ids(operation_path: str, operation_id: str) -> list[str]:
    return [IDS.get(operation_id, THEATRE)] if "{" in operation_path else []


def test_every_answer_is_as_described_and_every_described_one_comes(
    web: Api, world: Database, redis, redis_server: Servers, logs: Path, database_url: str
) -> None:
    described = Described(web.get("/api/schema", headers={"Accept-Encoding": "identity"}).json)
    asker = Asker(described)
    sell(asker, web, world)
    pay_slowly(asker, web, world)
    give_back(asker, web, world)
    wait_in_line(asker, web, world)
    refuse_sales(asker, web, world, redis)
    refuse_best_seats(asker, web, world, redis)
    change_seats(asker, web, world, redis)
    leave_orphans(asker, web, world)
    wait_for_places(asker, web, world)
    reach_limits(asker, web, world)
    refuse_strangers(asker, web)
    prove_something(asker, database_url, logs)
    ask_too_often(asker, web, redis)
    fail(asker, web, world, redis)
    with_nobody_else(asker, redis, logs)
    without_redis(asker, web, redis_server)

    said = {said for operation in described.operations.values() for said in operation.says()}
    assert asker.faults == []
    said -= {(page, "304") for page in MEASURED}
    assert said - asker.seen == {(page, "500 INTERNAL_ERROR") for page in (*SAFE, "getJoinChallenge", "getEntryKeys")}


def sell(asker: Asker, web: Api, world: Database) -> None:
    """Everything that goes well, and what the states of a reservation refuse."""
    ask = partial(asker.ask, web)
    for page in (
        *SAFE,
        "getMetrics",
        "listEvents",
        "suggestEvents",
        "listLayouts",
        "getEntryKeys",
        "rescheduleEventStatus",
    ):
        ask(page)
    for page in ("getEvent", "listTicketTypes", "getAvailability", "getSeatMap", "getSale"):
        ask(page, IDS[page])
    held = ask("reserveSeats").json["reservation"]["id"]
    for page in ("getSeatReservation", "getReservation", "listMyReservations"):
        ask(page, held)
    ask("refundReservation", held)  # not paid
    ask("listEntryCodes", held)  # likewise
    payment = asker.described.operations["confirmReservation"].example()
    ask("confirmReservation", held, body=payment | {"amount": 1, "paymentId": "of a wrong amount"})
    ask("confirmReservation", held)
    ask("listEntryCodes", held)
    ask("confirmReservation", held, body=payment | {"paymentId": "another"})
    ask("changeSeats", held, body={"seatIds": [seat(1, 2)]})  # paid
    bought = ask("buyTickets").json["reservation"]
    ask("confirmReservation", bought["id"], body=payment | {"amount": bought["totalAmount"]})  # used before
    ask("confirmReservation", CANCELLED)
    ask("cancelReservation", bought["id"], body={})
    ask("cancelReservation", bought["id"], body={})
    of_held = "id IN (SELECT seat_id FROM reservation_items WHERE reservation_id = %s)"
    world.rows(
        f"UPDATE seats SET status = 'locked' WHERE {of_held}", held
    )  # by somebody who does not know that it is paid
    ask("refundReservation", held)
    ask("cancelReservation", held, body={})
    world.rows(f"UPDATE seats SET status = 'sold' WHERE {of_held}", held)
    ask("refundReservation", held)
    ask("listMyReservations", query="?page=0")
    late = web.reserve(BUYER, HALL, seat(1, 5)).json["reservation"]["id"]
    world.expire(late)
    ask("confirmReservation", late)
    assert web.reserve(new_user(), HALL, seat(1, 5)).status == 201
    ask("cancelReservation", late, body={})
    ask("changeSeats", late, body={"seatIds": [seat(1, 5)]})
    ask("changeSeats", CANCELLED, body={"seatIds": [seat(1, 5)]})
    ask("cancelEvent", IDS["cancelEvent"])
    ask("readFeed")
    ask("readFeed", query="?limit=0")
    ask("readFeed", query="?after=0")


def pay_slowly(asker: Asker, web: Api, world: Database) -> None:
    """A payment that takes its time, in each state of its reservation."""
    ask = partial(asker.ask, web)
    made = web.reserve(BUYER, HALL, seat(1, 12)).json["reservation"]
    held, operations = made["id"], ("beginPayment", "failPayment", "extendReservation")
    ask("beginPayment", held)
    ask("cancelReservation", held, body={})
    ask("extendReservation", held)
    ask("failPayment", held)
    ask("cancelReservation", held)  # a part of what is not paid
    world.rows("UPDATE reservations SET created_at = created_at - interval '1 h' WHERE id = %s", held)
    ask("extendReservation", held)  # no longer
    assert web.confirm(held, made["totalAmount"]).status == 200
    for operation in operations:
        ask(operation, held)
    ask("cancelReservation", held)  # a part that it does not have
    assert web.cancel(BUYER, held).status == 200
    late = web.reserve(BUYER, HALL, seat(1, 12)).json["reservation"]["id"]
    world.expire(late)
    for operation in operations:
        ask(operation, held)
        ask(operation, late)


def give_back(asker: Asker, web: Api, world: Database) -> None:
    ask, event = partial(asker.ask, web), world.add_event()
    place = world.one("SELECT id::text FROM seats WHERE event_id = %s", event)
    begun = web.reserve(BUYER, event, place).json["reservation"]
    assert web.confirm(begun["id"], begun["totalAmount"]).status == 200
    world.rows("UPDATE events SET event_date = now() WHERE id = %s", event)
    ask("cancelReservation", begun["id"], body={})
    bought = web.buy(BUYER, STANDING, **{STANDING_A: 3}).json["reservation"]
    assert web.confirm(bought["id"], bought["totalAmount"]).status == 200
    for quantity in (1, 2):
        items = [{"ticketTypeId": STANDING_A, "quantity": quantity}]
        ask("cancelReservation", bought["id"], body={"items": items}, headers={"Idempotency-Key": "a part"})
    found = ask("listRefunds").json["refunds"]
    ask("settleRefund", found[-1]["id"])
    ask("listRefunds", query="?limit=0")
    ask("listRefunds", query=f"?after={NOTHING}")


def wait_in_line(asker: Asker, web: Api, world: Database) -> None:
    ask = partial(asker.ask, web)
    for place in ("getQueuePolicy", "changeQueuePolicy", "patchQueuePolicy", "pauseQueue", "resumeQueue"):
        ask(place, THEATRE)
    held = web.reserve(BUYER, THEATRE, seat(7, 2)).json["reservation"]["id"]
    for state in ({"threshold": 1000}, {"threshold": 0}):
        ask("changeQueuePolicy", THEATRE, body=state)
        for place in ("getQueueStatus", "checkQueue", "sendQueueHeartbeat", "getQueueStatus"):
            ask(place, THEATRE)
        ask("reserveSeats", body={"eventId": THEATRE, "seatIds": [seat(7, 1)]})
        ask("reserveBestSeats", body={"eventId": THEATRE, "quantity": 1})
        ask("buyTickets", body={"eventId": THEATRE, "items": [{"ticketTypeId": STANDING_A, "quantity": 1}]})
        ask("changeSeats", held, body={"seatIds": [seat(7, 3 if state["threshold"] else 4)]})
        ask("getQueueOverview", THEATRE)
        ask("leaveQueue", THEATRE)
    ask("clearQueue", THEATRE)
    ask("checkQueue", ENDED)
    ask("getQueueDraw", THEATRE)  # none
    ask("patchQueuePolicy", UPCOMING, body={"opensAt": "2030-06-01T10:00:00Z"})
    for place in ("checkQueue", "getQueueStatus", "getQueueDraw"):
        ask(place, UPCOMING)
    world.rows("UPDATE queue_policies SET opens_at = now() - interval '1 hour' WHERE event_id = %s", UPCOMING)
    for change in ("patchQueuePolicy", "changeQueuePolicy"):
        ask(change, UPCOMING, body={"opensAt": "2030-06-01T11:00:00Z"})
    world.rows("UPDATE queue_draws SET drawn_at = now(), participants = sha256('1') || sha256('2')")
    ask("getQueueDraw", UPCOMING, query="?participants=all")


def refuse_sales(asker: Asker, web: Api, world: Database, redis) -> None:
    def reserve(*places: str, event_id: str = HALL, **options: Any) -> None:
        asker.ask(web, "reserveSeats", body={"eventId": event_id, "seatIds": list(places)}, **options)

    def buy(ticket_type: str = STANDING_A, quantity: object = 1, event_id: str = STANDING, **options: Any) -> None:
        items = [{"ticketTypeId": ticket_type, "quantity": quantity}]
        asker.ask(web, "buyTickets", body={"eventId": event_id, "items": items}, **options)

    reserve(*[seat(1, place) for place in range(1, 6)])
    reserve(seat(1, 5))  # taken
    reserve(NOTHING)
    reserve(seat(1, 1), event_id=NOTHING)
    reserve(seat(3, 1), event_id=UPCOMING)
    redis.set(f"lock:seat:{HALL}:{seat(1, 6)}", "somebody")
    reserve(seat(1, 6))
    world.rows("UPDATE seats SET price = 2147483647 WHERE id = ANY(%s::uuid[])", [seat(1, 7), seat(1, 8)])
    reserve(seat(1, 7), seat(1, 8))
    buy(NOTHING)
    buy(quantity=0)
    buy(STANDING_B, 51)
    buy(event_id=NOTHING)
    buy(event_id=UPCOMING)
    world.rows("UPDATE ticket_types SET price = 2147483647 WHERE id = %s", STANDING_A)
    buy(quantity=2)
    for sale, event_id in ((reserve, HALL), (buy, STANDING)):
        key = f"{BUYER}:{sale.__name__} now".encode()
        redis.set(f"lock:request:{event_id}:{hashlib.sha256(key).hexdigest()[:32]}", "somebody")
    reserve(seat(1, 9), headers={"Idempotency-Key": "reserve now"})
    buy(headers={"Idempotency-Key": "buy now"})
    for place in (9, 9, 10):
        reserve(seat(1, place), headers={"Idempotency-Key": "one seat"})
    for quantity in (1, 1, 2):
        buy(STANDING_B, quantity, headers={"Idempotency-Key": "one purchase"})


def refuse_best_seats(asker: Asker, web: Api, world: Database, redis) -> None:
    def best(event_id: str = HALL, quantity: object = 1, headers: dict[str, str] | None = None, **wish: Any) -> None:
        body = {"eventId": event_id, "quantity": quantity, **wish}
        asker.ask(web, "reserveBestSeats", body=body, headers=headers or {})

    best(quantity=5)
    best(quantity=0)
    best(section="nowhere")
    best(STANDING)
    best(NOTHING)
    best(UPCOMING)
    dear = limited_sale(world)
    world.rows("UPDATE seats SET price = 2147483647 WHERE event_id = %s", dear.event)
    best(dear.event, 2)
    key = hashlib.sha256(f"{BUYER}:best now".encode()).hexdigest()[:32]
    redis.set(f"lock:request:{HALL}:{key}", "somebody")
    best(headers={"Idempotency-Key": "best now"})
    for quantity in (1, 2):
        best(quantity=quantity, headers={"Idempotency-Key": "best"})


def leave_orphans(asker: Asker, web: Api, world: Database) -> None:
    sale = limited_sale(world)
    world.rows("UPDATE events SET forbids_orphan_seats = true WHERE id = %s", sale.event)
    asker.ask(web, "reserveSeats", body={"eventId": sale.event, "seatIds": [sale.seats[1]]})
    held = web.reserve(BUYER, sale.event, sale.seats[0]).json["reservation"]["id"]
    asker.ask(web, "changeSeats", held, body={"seatIds": [sale.seats[1]]})


def change_seats(asker: Asker, web: Api, world: Database, redis) -> None:
    sale = limited_sale(world)
    seats = sale.seats
    held = web.reserve(BUYER, sale.event, *seats[:2]).json["reservation"]["id"]
    change = lambda *places: asker.ask(web, "changeSeats", held, body={"seatIds": list(places)})  # noqa: E731
    change(seats[0], seats[2])
    change(*seats[:3])
    change(NOTHING)
    assert web.reserve(new_user(), sale.event, seats[3]).status == 201
    change(seats[3])
    change(seats[1])  # dropped before
    redis.set(f"lock:seat:{sale.event}:{seats[4]}", "somebody")
    change(seats[4])
    world.rows("UPDATE seats SET price = 2147483647 WHERE id = %s", seats[5])
    change(seats[0], seats[5])
    world.rows("UPDATE seats SET status = 'sold' WHERE id = %s", seats[0])
    change(seats[2])
    world.rows("UPDATE events SET sale_end_date = now() WHERE id = %s", sale.event)
    change(seats[6])


def wait_for_places(asker: Asker, web: Api, world: Database) -> None:
    """The waiting list of an event that is sold out, until a place is free."""
    sale = waitlist.sold_out(world, web, seats=2)
    world.rows("UPDATE events SET max_tickets_per_buyer = 3 WHERE id = %s", sale.event)

    def ask(operation: str, **body: Any) -> None:
        asker.ask(web, operation, sale.event, **({"body": body} if body else {}))

    ask("getWaitlistPosition")
    ask("leaveWaitlist")  # without having joined
    ask("joinWaitlist", quantity=1, section="none")
    ask("joinWaitlist", quantity=1, ticketTypeId=STANDING_A)
    ask("joinWaitlist", quantity=5)
    ask("joinWaitlist", quantity=4)
    ask("joinWaitlist", quantity=1)
    ask("joinWaitlist", quantity=2)
    assert web.cancel(sale.holders[0], sale.holds[0]).status == 200
    ask("getWaitlistPosition")
    ask("joinWaitlist", quantity=1)  # there is an offer
    offer = waitlist.place(web, BUYER, sale.event)["offer"]["reservationId"]
    for step in ("begin-payment", "fail-payment"):
        assert web.post(f"/internal/reservations/{offer}/{step}", headers=INTERNAL).status == 200
        if step == "begin-payment":
            ask("leaveWaitlist")
    for status in ("sold", "locked"):
        world.rows("UPDATE seats SET status = %s WHERE id = %s", status, sale.seats[0])
        ask("leaveWaitlist")
    ask("joinWaitlist", quantity=1)  # a place is free
    for change in ("has_waitlist = false", "sale_end_date = now()"):
        world.rows(f"UPDATE events SET {change} WHERE id = %s", sale.event)
        ask("joinWaitlist", quantity=1)


def reach_limits(asker: Asker, web: Api, world: Database) -> None:
    def ask_for(sale: LimitedSale, place: str) -> None:
        asker.ask(web, "reserveSeats", body={"eventId": sale.event, "seatIds": [place]})
        asker.ask(web, "reserveBestSeats", body={"eventId": sale.event, "quantity": 1})
        items = [{"ticketTypeId": sale.tickets, "quantity": 1}]
        asker.ask(web, "buyTickets", body={"eventId": sale.event, "items": items})

    full, parked = limited_sale(world), limited_sale(world)
    assert web.buy(BUYER, full.event, **{full.tickets: 4}).status == 201
    ask_for(full, full.seats[0])
    for place in parked.seats[:3]:
        assert web.reserve(BUYER, parked.event, place).status == 201
        let_time_pass(world, BUYER, 300)
        asker.ask(web, "reserveSeats", body={"eventId": parked.event, "seatIds": [place]})
    ask_for(parked, parked.seats[3])


def refuse_strangers(asker: Asker, web: Api) -> None:
    """What depends on the operation's kind only: who asks, and how the request is made."""
    asker.ask(web, "listEvents", query="?page=0")
    asker.ask(web, "suggestEvents", query="?q=a&q=b")
    asker.ask(web, "getSeatMap", STANDING)  # no seats
    for operation in asker.described.operations.values():
        ask = partial(asker.ask, web, operation.id, *ids(operation.path, operation.id))
        if operation.is_signed_in or operation.is_internal:
            ask(who={})
        if operation.is_internal:
            ask(who={"X-Internal-Token": ENTRY_TOKEN})
        if operation.is_signed_in:
            ask(who=GARBAGE)
            ask(who=NOBODY)
        if operation.is_for_administrators:
            ask(who={"Authorization": f"Bearer {token(new_user())}"})
        if operation.has_body:
            ask(body=b"{")
            ask(body=b"{}", headers={"Content-Type": "text/plain"})
            ask(body=b" " * 300_000)
        if "{" in operation.path:
            for other in ("abc", NOTHING):
                asker.ask(web, operation.id, other)


def prove_something(asker: Asker, database_url: str, logs: Path) -> None:
    """With join challenges, for a newcomer."""
    newcomer = {"Authorization": f"Bearer {token(new_user())}"}
    challenges = {
        "proof-of-work": {},
        "turnstile": {
            "TURNSTILE_SITE_KEY": "site",
            "TURNSTILE_SECRET_KEY": "secret",
            "TURNSTILE_VERIFY_URL": "http://127.0.0.1:1",
        },
    }
    for name, more in challenges.items():
        environment = {"DATABASE_URL": database_url, "WEB_WORKERS": "1", "JOIN_CHALLENGE": name, **more}
        with running_web(logs / f"{name}.log", **environment) as proving:
            asker.ask(proving, "getJoinChallenge", HALL, who=newcomer)
            for headers in ({}, {"Challenge-Response": "rubbish"}):
                asker.ask(proving, "checkQueue", HALL, who=newcomer, headers=headers)


def ask_too_often(asker: Asker, web: Api, redis) -> None:
    """Too many bad tokens and searches have come from here, and the buyer has joined, reserved and asked too often."""
    subjects = {
        "join": BUYER,
        "status": BUYER,
        "reserve": BUYER,
        "bad-tokens": "127.0.0.1",
        "search-per-address": "127.0.0.1",
    }

    def ask_again(*args: Any, **options: Any) -> None:
        for name, subject in subjects.items():
            redis.set(f"rate:{name}:{subject}", int((time.time() + 60) * 1_000_000), ex=60)
        asker.ask(web, *args, **options)

    ask_again("listEvents", query="?q=once+more")
    ask_again("suggestEvents", query="?q=once+more")
    for operation in asker.described.operations.values():
        ask = partial(ask_again, operation.id, *ids(operation.path, operation.id))
        if operation.is_signed_in:
            ask(who=GARBAGE)
        if operation.is_internal:
            ask(who={"X-Internal-Token": "guessed"})
    for name in ("checkQueue", "getQueueStatus", "sendQueueHeartbeat"):
        ask_again(name, THEATRE)
    for name in ("reserveSeats", "buyTickets"):
        ask_again(name)


def fail(asker: Asker, web: Api, world: Database, redis) -> None:
    """A fault of ours: the tables are gone."""
    redis.flushall()
    world.rows("ALTER SCHEMA ticket_schema RENAME TO elsewhere")
    try:
        for operation in asker.described.operations.values():
            if operation.id not in SAFE:
                asker.ask(web, operation.id, *ids(operation.path, operation.id))
    finally:
        world.rows("ALTER SCHEMA elsewhere RENAME TO ticket_schema")


def with_nobody_else(asker: Asker, redis, logs: Path) -> None:
    """Neither PostgreSQL nor the Auth Service is there; a few tokens have been verified before."""
    redis.flushall()
    known = {}
    for name, role in (("user_a", "user"), ("admin", "admin")):
        user = TOKENS["users"][name]
        digest = hashlib.sha256(name.encode()).hexdigest()
        known[role] = {"Authorization": f"Bearer {name}"}
        redis.set(f"auth:token:{digest}", json.dumps([user["userId"], "", "", role, time.time() + 60]))
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "AUTH_SERVICE_URL": "http://127.0.0.1:1"}
    calls: list[Callable[[], Any]] = []
    with running_web(logs / "alone.log", WEB_WORKERS="1", WEB_THREADS="64", **nowhere) as alone:
        for operation in asker.described.operations.values():
            ask = partial(asker.ask, alone, operation.id, *ids(operation.path, operation.id))
            if operation.is_signed_in:
                calls += [ask, partial(ask, who=known["admin" if operation.is_for_administrators else "user"])]
            elif operation.id not in SAFE or operation.id in ("getHealthDb", "getHealthReady"):
                calls.append(ask)
        at_once(calls)


def without_redis(asker: Asker, web: Api, redis_server: Servers) -> None:
    redis_server.stop_redis()
    for operation in asker.described.operations.values():
        if "503 WAITING_ROOM_UNAVAILABLE" in {said for _, said in operation.says()}:
            asker.ask(web, operation.id, *ids(operation.path, operation.id))
    for page in ("getHealthRedis", "getHealthAll"):
        asker.ask(web, page)
