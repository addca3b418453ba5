"""Reservations live their lives while the receiver misbehaves and the worker is killed twice.

With WEBHOOK_TEST_RESERVATIONS=1000 in the environment, so many of them.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.background import BackgroundProcesses, kill, running_background
from tests.support.harness import INTERNAL, STANDING, STANDING_A, Api, Database, at_once, new_user, wait_until
from tests.support.subscribers import read_feed, subscribe
from tests.support.tools import MissingTool, install_webhooks_client
from tests.support.webhook_receiver import (
    SECRET,
    Receiver,
    drip,
    flood,
    hang,
    hang_up,
    receiving,
    status,
    verified_by_node,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RESERVATIONS = int(os.environ.get("WEBHOOK_TEST_RESERVATIONS", "60"))
BUYERS = 6
MISBEHAVIOURS = [
    status(500),
    status(503),
    status(302, Location="/elsewhere"),
    hang_up,
    hang(2.5),
    drip(2.5),
    flood,
]

LIVES = {
    "paid": ["created", "confirmed"],
    "left": ["created", "cancelled"],
    "lapsed": ["created", "expired"],
    "returned": ["created", "confirmed", "cancelled", "refund_due"],
    "refunded": ["created", "confirmed", "cancelled", "refunded"],
    "refused": ["created", "refund_due", "confirmed"],
    "parted": ["created", "confirmed", "changed", "refund_due", "refunded"],
}


@pytest.fixture
def impatient(world: Database, database_url: str, logs: Path) -> Iterator[BackgroundProcesses]:
    with running_background(
        database_url,
        logs,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
        WEBHOOK_TIMEOUT_SECONDS="1",
        WEBHOOK_FIRST_PAUSE_SECONDS="0.2",
        WEBHOOK_MAX_PAUSE_SECONDS="2",
    ) as processes:
        yield processes


def live(web: Api, world: Database, kind: str) -> str:
    """One reservation from beginning to end; its id."""
    user = new_user()
    quantity = 2 if kind == "parted" else 1
    answer = web.buy(user, STANDING, **{STANDING_A: quantity})
    assert answer.status == 201, answer.json
    reservation: str = answer.json["reservation"]["id"]
    if kind == "refused":
        assert web.confirm(reservation, 1, new_user()).status == 409
    if kind in ("paid", "returned", "refunded", "refused", "parted"):
        assert web.confirm(reservation, quantity * 120_000).status == 200
    if kind == "parted":
        part = {"items": [{"ticketTypeId": STANDING_A, "quantity": 1}]}
        assert web.post(f"/reservations/{reservation}/cancel", part, user=user).status == 200
        refund = world.one("SELECT id::text FROM refunds WHERE reservation_id = %s", reservation)
        assert web.post(f"/internal/refunds/{refund}/done", headers=INTERNAL).status == 200
    if kind in ("left", "returned"):
        assert web.cancel(user, reservation).status == 200
    if kind == "refunded":
        assert web.refund(reservation).status == 200
    if kind == "lapsed":
        world.expire(reservation)
    return reservation


@pytest.mark.long
def test_every_message_arrives_in_order_whatever_happens(
    web: Api, world: Database, impatient: BackgroundProcesses, tmp_path: Path
) -> None:
    world.rows("UPDATE ticket_types SET total_quantity = 100000, available_quantity = 100000 WHERE id = %s", STANDING_A)
    dice = random.Random(14)
    kinds = [list(LIVES)[n % len(LIVES)] for n in range(RESERVATIONS)]
    lock = threading.Lock()
    with receiving() as receiver:
        receiver.delay = lambda _: dice.random() * 0.4 if dice.random() < 0.2 else 0.0
        receiver.misbehave = lambda _: dice.choice(MISBEHAVIOURS) if dice.random() < 0.15 else None
        subscribe(
            world, *(f"reservation.{kind}" for kind in {k for life in LIVES.values() for k in life}), url=receiver.url
        )
        worker, _ = impatient.start("worker"), impatient.start("beat")
        lived: dict[str, str] = {}
        left = iter(kinds)

        def buy() -> None:
            own = Database(world.url)
            try:
                while True:
                    with lock:
                        kind = next(left, None)
                    if kind is None:
                        return
                    reservation = live(web, own, kind)
                    with lock:
                        lived[reservation] = kind
                    time.sleep(0.02)
            finally:
                own.close()

        selling = threading.Thread(target=lambda: at_once([buy] * BUYERS))
        selling.start()
        for _ in range(2):
            before = len(receiver.accepted)
            wait_until(lambda before=before: len(receiver.accepted) > before + RESERVATIONS // 10, seconds=120)
            kill(worker)  # kill -9, in the middle of whatever it sends
            worker = impatient.start("worker")
        receiver.die()
        time.sleep(2)
        receiver.start()
        selling.join()
        deadline = time.monotonic() + 60 + RESERVATIONS
        while world.one(
            "SELECT (SELECT count(*) FROM reservations"
            " WHERE status = 'pending' AND id = ANY(%s::uuid[]) AND deadline < now())"
            " + (SELECT count(*) FROM outbox_messages WHERE position IS NULL)"
            " + (SELECT count(*) FROM outbox_deliveries WHERE status <> 'delivered')",
            list(lived),
        ):
            assert time.monotonic() < deadline, world.rows(
                "SELECT d.status, count(*), min(d.next_attempt_at) FROM outbox_deliveries d GROUP BY 1"
            )
            time.sleep(0.2)

    check(receiver, lived, web)
    verify_with_javascript(receiver, tmp_path)


def check(receiver: Receiver, lived: dict[str, str], web: Api) -> None:
    assert receiver.forged == []
    assert receiver.redirected == 0
    told = {subject: kinds for subject, kinds in receiver.by_subject().items() if subject in lived}
    expected = {one: [f"reservation.{kind}" for kind in LIVES[life]] for one, life in lived.items()}
    assert told == expected
    feed = [message for message in read_feed(web) if message["data"]["reservationId"] in lived]
    assert {message["id"] for message in feed} == {one.id for one in receiver.accepted if one.subject in lived}
    by_id = {one.id: one.message for one in receiver.accepted}
    assert all(
        by_id[message["id"]] == {name: message[name] for name in ("type", "timestamp", "data")} for message in feed
    )
    repeated = Counter(one.id for one in receiver.accepted)
    print(
        f"\n{len(lived)} reservations, {len(feed)} messages, {len(receiver.tries)} attempts,"
        f" {sum(count - 1 for count in repeated.values())} repeated, all in order"
    )


def verify_with_javascript(receiver: Receiver, tmp_path: Path) -> None:
    """By the specification's own library in JavaScript, where it can be installed."""
    try:
        install_webhooks_client()
    except (MissingTool, OSError) as reason:
        print(reason)
        return
    young = receiver.accepted[-200:]  # the library refuses those that are older than five minutes
    said = verified_by_node(young, SECRET, tmp_path)
    assert said == {"verified": len(young), "refused": 0, "forgedRefused": len(young)}
