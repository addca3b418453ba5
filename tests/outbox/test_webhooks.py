"""Webhooks: signed, in order, tried again, bounded, and judged by the address that they go to."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from kernel.http import untrusted_urls
from kernel.http.untrusted_urls import RequestNotSent, is_public, post
from outbox.services import deliver, resume_subscriber, rotate_secret, send_again
from tests.support.harness import HALL, STANDING, STANDING_A, Api, Database, at_once, new_user, seat
from tests.support.subscribers import as_worker, read_feed, subscribe
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

LOOPBACK = ip_network("127.0.0.0/8")


@pytest.fixture(autouse=True)
def impatient(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = (LOOPBACK,)
    settings.WEBHOOK_TIMEOUT_SECONDS = 1.0
    settings.WEBHOOK_FIRST_PAUSE_SECONDS = 0.1
    settings.WEBHOOK_MAX_PAUSE_SECONDS = 0.4


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def sell_one(web: Api) -> str:
    user = new_user()
    reserved: str = web.buy(user, STANDING, **{STANDING_A: 1}).json["reservation"]["id"]
    web.confirm(reserved, 120_000)
    web.cancel(user, reserved)
    return reserved


LIFE = [f"reservation.{kind}" for kind in ("created", "confirmed", "cancelled", "refund_due")]


def deliver_all(world: Database, *, seconds: float = 15) -> None:
    """As the worker does, until nothing is pending."""
    give_up = time.monotonic() + seconds
    while deliver() or world.one("SELECT count(*) FROM outbox_deliveries WHERE status = 'pending'"):
        assert time.monotonic() < give_up, world.rows("SELECT * FROM outbox_attempts ORDER BY id DESC LIMIT 3")
        time.sleep(0.05)


def test_a_webhook_is_signed_and_says_the_same_as_the_feed(world: Database, web: Api, receiver: Receiver) -> None:
    subscribe(world, url=receiver.url)
    reserved = sell_one(web)
    deliver_all(world)
    assert receiver.by_subject()[reserved] == LIFE
    assert receiver.forged == []
    feed = {message.pop("id"): message for message in read_feed(web)}
    assert {one.id: one.message for one in receiver.accepted} == feed
    one = receiver.accepted[0]
    assert Webhook(SECRET).verify(one.raw, one.headers) == one.message
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(one.raw.replace("created", "cancelled"), one.headers)
    assert world.one("SELECT count(*) FROM outbox_deliveries WHERE status = 'delivered' AND attempts = 1") == 4


def test_a_subscriber_gets_only_what_it_wants(world: Database, web: Api, receiver: Receiver) -> None:
    subscribe(world, "reservation.confirmed", url=receiver.url)
    subscribe(world, name="reads the feed")
    sell_one(web)
    deliver_all(world)
    assert [one.message["type"] for one in receiver.accepted] == ["reservation.confirmed"]
    assert len(read_feed(web)) == 4


BAD = {
    "a 500": status(500),
    "a redirect": status(302, Location="/elsewhere"),
    "a permanent redirect": status(308, Location="/elsewhere"),
    "hanging up": hang_up,
    "hanging": hang(3),
    "an answer byte by byte": drip(3),
    "an answer that does not end": flood,
    "no content, but not modified": status(304),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_fails_is_tried_again_in_order(world: Database, web: Api, receiver: Receiver, bad: str) -> None:
    subscribe(world, url=receiver.url)
    receiver.misbehave = lambda n: BAD[bad] if n < 2 else None
    reserved = sell_one(web)
    started = time.monotonic()
    deliver_all(world)
    assert receiver.by_subject()[reserved] == LIFE
    assert len({one.id for one in receiver.tries[:3]}) == 1, "a later message overtook the one that failed"
    assert receiver.redirected == 0
    assert time.monotonic() - started < 6
    (failed, *_) = world.rows("SELECT * FROM outbox_attempts ORDER BY id")
    assert failed["error"] or failed["http_status"] in (500, 302, 308, 304)
    assert failed["seconds"] < 1.5
    assert len(failed["answer"]) <= 4096
    assert failed["sent_headers"]["webhook-id"] == receiver.tries[0].id


def test_one_subject_does_not_hold_back_another(world: Database, web: Api, receiver: Receiver, settings) -> None:
    settings.WEBHOOK_FIRST_PAUSE_SECONDS = 60
    settings.WEBHOOK_MAX_PAUSE_SECONDS = 60
    subscribe(world, url=receiver.url)
    bad = sell_one(web)
    good = [sell_one(web) for _ in range(3)]
    receiver.misbehave = lambda n: status(500) if receiver.tries[n].subject == bad else None
    deliver()
    assert receiver.by_subject() == dict.fromkeys(good, LIFE)
    assert len([one for one in receiver.tries if one.subject == bad]) == 1


def test_pauses_grow_and_end_after_three_days(world: Database, web: Api, receiver: Receiver, settings) -> None:
    settings.WEBHOOK_FIRST_PAUSE_SECONDS = 5.0
    settings.WEBHOOK_MAX_PAUSE_SECONDS = 21_600.0
    settings.WEBHOOK_GIVE_UP_SECONDS = 259_200.0
    subscriber = subscribe(world, url=receiver.url)
    receiver.misbehave = lambda _: status(500)
    web.buy(new_user(), STANDING, **{STANDING_A: 1})
    pauses, waited = [], 0.0
    while world.one("SELECT count(*) FROM outbox_deliveries WHERE status <> 'pending'") == 0:
        assert deliver()["failed"] == 1
        pause = world.one("SELECT extract(epoch FROM next_attempt_at - now())::float8 FROM outbox_deliveries")
        pauses.append(pause)
        waited += pause
        # Time passes, for this delivery and its subscriber.
        world.rows(
            "UPDATE outbox_deliveries SET next_attempt_at = now(), pending_since = pending_since - %s * interval '1 s'",
            pause,
        )
        world.rows(
            "UPDATE outbox_subscribers SET not_before = now(), failing_since = failing_since - %s * interval '1 s'",
            pause,
        )
    expected = [5, 20, 80, 320, 1280, 5120, 20480]
    assert all(0.89 * at < pause < 1.11 * at for pause, at in zip(pauses, expected, strict=False))
    assert all(0.89 * 21_600 < pause < 1.11 * 21_600 for pause in pauses[7:])
    assert 259_200 - 24_000 < waited < 259_200 + 2 * 24_000
    assert world.one("SELECT status FROM outbox_deliveries") == "failed"
    # It has failed for three days without one success.
    assert world.one("SELECT paused_at IS NOT NULL FROM outbox_subscribers WHERE id = %s", subscriber)


def test_a_paused_subscriber_gets_nothing_until_it_is_resumed_and_then_all(
    world: Database, web: Api, receiver: Receiver
) -> None:
    subscriber = subscribe(world, url=receiver.url)
    receiver.misbehave = lambda n: status(410) if n == 0 else None
    first = sell_one(web)
    deliver()
    second = sell_one(web)
    assert deliver() == {"numbered": 4}
    assert len(receiver.tries) == 1
    resume_subscriber(subscriber_id=uuid.UUID(subscriber))
    deliver_all(world)
    assert receiver.by_subject() == {first: LIFE, second: LIFE}


def test_a_subscriber_that_is_away_is_not_asked_about_each_message(
    world: Database, web: Api, receiver: Receiver, settings
) -> None:
    settings.WEBHOOK_FIRST_PAUSE_SECONDS = 2.0
    settings.WEBHOOK_MAX_PAUSE_SECONDS = 60.0
    subscribe(world, url=receiver.url)
    sold = at_once([lambda: sell_one(web) for _ in range(30)])
    receiver.misbehave = lambda _: hang(5)
    started = time.monotonic()
    deliver()
    assert time.monotonic() - started < 3
    assert len(receiver.tries) == 8
    receiver.misbehave = lambda _: None
    time.sleep(2.3)
    deliver_all(world, seconds=20)  # as soon as one was answered, all are due
    assert receiver.by_subject() == dict.fromkeys(sold, LIFE)
    assert time.monotonic() - started < 20


def test_a_subscriber_that_hangs_does_not_hold_back_the_others(world: Database, web: Api, receiver: Receiver) -> None:
    with receiving() as slow:
        slow.misbehave = lambda _: hang(5)
        subscribe(world, url=slow.url, name="slow")
        subscribe(world, url=receiver.url, name="quick")
        sold = [sell_one(web) for _ in range(5)]
        started = time.monotonic()
        at_once([as_worker(deliver)] * 2)
        assert receiver.by_subject() == dict.fromkeys(sold, LIFE)
        assert time.monotonic() - started < 4


def test_many_workers_at_once_send_each_message_once(world: Database, web: Api, receiver: Receiver) -> None:
    subscribe(world, url=receiver.url)
    sold = at_once([lambda: sell_one(web) for _ in range(20)])
    at_once([as_worker(deliver)] * 5)
    deliver_all(world)
    assert receiver.by_subject() == dict.fromkeys(sold, LIFE)
    assert len(receiver.tries) == 80


def test_a_worker_that_was_killed_is_succeeded_when_its_lease_ends(
    world: Database, web: Api, receiver: Receiver
) -> None:
    subscribe(world, url=receiver.url)
    sold = sell_one(web)
    world.rows("UPDATE outbox_subscribers SET lease = gen_random_uuid(), leased_until = now() + interval '0.5 s'")
    deliver()
    assert receiver.tries == []
    time.sleep(0.6)
    deliver_all(world)
    assert receiver.by_subject() == {sold: LIFE}


def test_while_a_secret_rotates_both_are_valid(world: Database, web: Api, receiver: Receiver) -> None:
    subscriber = subscribe(world, url=receiver.url)
    new = rotate_secret(subscriber_id=uuid.UUID(subscriber))
    sell_one(web)
    deliver_all(world)
    for one in receiver.accepted:
        for secret in (SECRET, new):
            assert Webhook(secret).verify(one.raw, one.headers)
    world.rows("UPDATE outbox_subscribers SET previous_valid_until = now()")
    receiver.secret = new
    sell_one(web)
    deliver_all(world)
    last = receiver.accepted[-1]
    assert receiver.forged == []
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(last.raw, last.headers)


def test_a_message_that_is_sent_again_has_the_same_id(world: Database, web: Api, receiver: Receiver) -> None:
    subscribe(world, url=receiver.url)
    sell_one(web)
    deliver_all(world)
    delivery = world.one("SELECT min(id) FROM outbox_deliveries")
    send_again(delivery_id=delivery)
    deliver_all(world)
    assert receiver.tries[-1].id == receiver.tries[0].id
    assert receiver.tries[-1].raw == receiver.tries[0].raw


# --- Addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1",
        "2001:db8::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1",
        "2001:0:0a00:1::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def try_post(url: str, *networks: str) -> str:
    with pytest.raises(RequestNotSent) as refused:
        post(
            url, body=b"{}", headers={}, seconds=1, max_bytes=10, allowed_networks=[ip_network(one) for one in networks]
        )
    return str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",  # noqa: S104
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
    ],
)
def test_nothing_is_sent_to_private_addresses_however_they_are_written(receiver: Receiver, host: str) -> None:
    assert "public address" in try_post(f"http://{host}:{receiver.port}/hook")
    assert "public address" in try_post(f"https://{host}:{receiver.port}/hook", "10.0.0.0/8")
    assert receiver.tries == []


def test_plain_http_goes_only_to_networks_that_are_allowed() -> None:
    assert "http://" in try_post("http://1.1.1.1/")


@pytest.mark.parametrize("url", ["ftp://example.org/", "//example.org", "https://", "http://[", "https://x:99999/"])
def test_urls_that_are_none(url: str) -> None:
    assert try_post(url)


def test_the_address_is_judged_at_each_attempt_and_is_the_one_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere the second time: it is asked once for an attempt, and the answer is used."""
    asked = []

    def resolve(host: str, port: int) -> list[Any]:
        asked.append(host)
        return [ip_address("127.0.0.1" if len(asked) % 2 else "10.0.0.1")]

    monkeypatch.setattr(untrusted_urls, "_resolve", resolve)
    url = f"http://rebinding.example:{receiver.port}/hook"
    headers = {"webhook-id": "x"}
    sent = {"body": b"{}", "headers": headers, "seconds": 1, "max_bytes": 10, "allowed_networks": [LOOPBACK]}
    assert post(url, **sent).status == 200
    with pytest.raises(RequestNotSent, match="public address"):
        post(url, **sent)
    assert asked == ["rebinding.example"] * 2
    assert receiver.tries[0].headers["host"] == f"rebinding.example:{receiver.port}"


def test_a_certificate_is_verified(receiver: Receiver) -> None:
    """The receiver speaks no TLS at all."""
    assert "SSL" in try_post(f"https://127.0.0.1:{receiver.port}/hook", "127.0.0.0/8")


def test_the_moment_is_that_of_the_attempt(world: Database, web: Api, receiver: Receiver) -> None:
    subscribe(world, url=receiver.url)
    reserved = web.reserve(new_user(), HALL, seat(1, 1)).json["reservation"]["id"]
    deliver_all(world)
    one = receiver.accepted[0]
    assert abs(int(one.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 10
    assert json.loads(one.raw)["data"]["reservationId"] == reserved


@pytest.mark.tool("standardwebhooks")
def test_a_webhook_is_verified_in_javascript_too(world: Database, web: Api, receiver: Receiver, tmp_path: Path) -> None:
    subscriber = subscribe(world, url=receiver.url)
    new = rotate_secret(subscriber_id=uuid.UUID(subscriber))
    sell_one(web)
    deliver_all(world)
    for secret in (SECRET, new):
        assert verified_by_node(receiver.accepted, secret, tmp_path) == {
            "verified": 4,
            "refused": 0,
            "forgedRefused": 4,
        }
    other = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYiE="
    assert verified_by_node(receiver.accepted, other, tmp_path)["verified"] == 0
