"""The admin: subscribers with their secrets, deliveries with what was sent and answered, and sending again."""

import re
import uuid
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from outbox.services import deliver
from tests.support.admin_pages import AdminPages, open_form
from tests.support.harness import STANDING, STANDING_A, Api, Database, new_user
from tests.support.subscribers import KINDS, subscribe
from tests.support.webhook_receiver import SECRET, Receiver, receiving, status

SUBSCRIBERS, DELIVERIES = "/admin/outbox/messagesubscriber", "/admin/outbox/delivery"
WHY = {"reason": "asked for"}


@pytest.fixture(autouse=True)
def reachable(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def client(admin_pages: AdminPages) -> Client:
    return admin_pages.client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def said(client: Client, path: str, **fields: Any) -> str:
    answer = client.post(path, fields, follow=True, HTTP_ACCEPT_LANGUAGE="en")
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_subscriber_is_entered_and_its_secret_shown_once(client: Client, world: Database) -> None:
    page = said(client, f"{SUBSCRIBERS}/add/", name="CRM", url="http://crm:9000/hook", kinds=KINDS[:2], is_active="on")
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", page))
    row = world.rows("SELECT * FROM outbox_subscribers")[0]
    assert (row["name"], row["url"], row["kinds"], row["secret"]) == ("CRM", "http://crm:9000/hook", KINDS[:2], secret)
    for path in (f"{SUBSCRIBERS}/", f"{SUBSCRIBERS}/{row['id']}/change/", f"{SUBSCRIBERS}/{row['id']}/history/"):
        assert "whsec_" not in client.get(path).content.decode()


def test_a_subscriber_is_changed_without_touching_what_delivering_writes(client: Client, world: Database) -> None:
    subscriber = subscribe(world, "event.moved", url="https://example.org/")
    url = f"{SUBSCRIBERS}/{subscriber}/change/"
    fields = open_form(client, url)
    world.rows("UPDATE outbox_subscribers SET failures = 7, paused_at = now()")
    saved = client.post(url, fields | {"kinds": ["event.moved", "event.cancelled"]})
    assert saved.status_code == 302, saved.context["adminform"].form.errors
    row = world.rows("SELECT * FROM outbox_subscribers")[0]
    assert (row["failures"], row["secret"], row["paused_at"] is None) == (7, SECRET, False)
    assert set(row["kinds"]) == {"event.moved", "event.cancelled"}


@pytest.mark.parametrize("url", ["ftp://example.org", "example.org", "https://user:secret@example.org/", "https://"])
def test_urls_that_lead_nowhere_are_refused(client: Client, world: Database, url: str) -> None:
    said(client, f"{SUBSCRIBERS}/add/", name="CRM", url=url, kinds=KINDS, is_active="on")
    assert world.rows("SELECT * FROM outbox_subscribers") == []


def test_a_secret_is_rotated(client: Client, world: Database) -> None:
    subscriber = subscribe(world, url="https://example.org/")
    page = said(client, f"{SUBSCRIBERS}/{subscriber}/rotate/", **WHY)
    row = world.rows("SELECT *, previous_valid_until - now() > interval '23 hours' AS lasts FROM outbox_subscribers")[0]
    assert row["secret"] in page.replace("&#x2B;", "+").replace("&#x3D;", "=")
    assert (row["previous_secret"], row["lasts"], row["secret"] != SECRET) == (SECRET, True, True)
    assert world.one("SELECT count(*) FROM django_admin_log WHERE change_message LIKE %s", "%whsec_%") == 0


def test_what_was_sent_and_answered_is_shown_and_sent_again(
    client: Client, world: Database, web: Api, receiver: Receiver
) -> None:
    subscriber = subscribe(world, url=receiver.url)
    receiver.misbehave = lambda n: status(410) if n == 0 else None
    reserved = web.buy(new_user(), STANDING, **{STANDING_A: 1}).json["reservation"]["id"]
    deliver()
    found = client.get(f"{SUBSCRIBERS}/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert "Paused since" in found
    said(client, f"{SUBSCRIBERS}/{subscriber}/resume/", **WHY)
    deliver()
    delivery = world.one("SELECT id FROM outbox_deliveries")
    found = client.get(f"{DELIVERIES}/?q={reserved}", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert "reservation.created" in found
    page = client.get(f"{DELIVERIES}/{delivery}/change/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    for shown in ("410", "200", receiver.tries[0].id, "webhook-signature", reserved, ">ok<"):
        assert shown in page, shown
    said(client, f"{DELIVERIES}/{delivery}/again/", **WHY)
    deliver()
    assert [one.id for one in receiver.tries] == [receiver.tries[0].id] * 3
    said(client, f"{DELIVERIES}/", action="again", _selected_action=[delivery], confirmed="yes", **WHY)
    deliver()
    assert len(receiver.tries) == 4


def test_staff_may_look_and_not_act(world: Database) -> None:
    viewer = Client()
    user, _ = get_user_model().objects.get_or_create(username=f"viewer-{uuid.uuid4()}", is_staff=True)
    viewer.force_login(user)
    subscriber = subscribe(world, url="https://example.org/")
    for path in (f"{SUBSCRIBERS}/", f"{SUBSCRIBERS}/{subscriber}/change/", f"{DELIVERIES}/"):
        page = viewer.get(path)
        assert page.status_code == 200
        assert "whsec_" not in page.content.decode()
    assert viewer.post(f"{SUBSCRIBERS}/{subscriber}/rotate/", WHY).status_code == 403
    assert viewer.post(f"{SUBSCRIBERS}/{subscriber}/change/", {"name": "x"}).status_code == 403
    user.delete()
