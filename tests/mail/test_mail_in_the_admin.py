"""The admin: what was sent and what was not, without addresses; sending again."""

import uuid

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client

from mail.services import send_mails
from tests.support.admin_pages import AdminPages
from tests.support.harness import HALL, Api, Database
from tests.support.mail_server import HANG_UP, MailServer, always, as_usual
from tests.support.mailing import Buyer, statuses

pytestmark = pytest.mark.usefixtures("mail_on")
MAILS = "/admin/mail/mail"
WHY = {"reason": "asked for"}


@pytest.fixture
def client(admin_pages: AdminPages) -> Client:
    return admin_pages.client


def page(client: Client, path: str) -> str:
    answer = client.get(path, HTTP_ACCEPT_LANGUAGE="en")
    assert answer.status_code == 200
    return answer.content.decode()


def staff(*groups: str) -> Client:
    user = get_user_model().objects.create(username=f"staff-{uuid.uuid4()}", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(user)
    return client


def test_mails_are_listed_and_found_without_names_and_addresses(
    client: Client, mailing_web: Api, world: Database, server: MailServer
) -> None:
    server.on_recipient = always("550 <hana@example.com>: unknown")
    buyer = Buyer()
    reservation = buyer.buy(mailing_web)
    send_mails()
    number = world.one("SELECT reservation_number FROM reservations WHERE id = %s", reservation)
    mail = world.one("SELECT id FROM mails")
    for term in (number.lower(), reservation, buyer.id, HALL):
        assert number in page(client, f"{MAILS}/?q={term}"), term
    assert number not in page(client, f"{MAILS}/?q={uuid.uuid4()}")
    assert number not in page(client, f"{MAILS}/?q=nothing")
    for path in (f"{MAILS}/", f"{MAILS}/{mail}/change/", f"{MAILS}/{mail}/history/"):
        found = page(client, path)
        assert "hana@" not in found
        assert "김하나" not in found
    assert "550 &lt;(address)&gt;: unknown" in page(client, f"{MAILS}/{mail}/change/")


def test_what_is_uncertain_is_sent_again_with_the_same_message_id(
    client: Client, mailing_web: Api, world: Database, server: MailServer
) -> None:
    server.on_content = always(HANG_UP)
    Buyer().buy(mailing_web)
    send_mails()
    server.on_content = as_usual
    mail = world.one("SELECT id FROM mails")
    assert "Perhaps sent" in page(client, f"{MAILS}/")
    assert client.post(f"{MAILS}/{mail}/again/", WHY).status_code == 302
    assert send_mails() == {"sent": 1}
    first, second = server.received
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert statuses(world) == [("ticket", "sent")]


def test_managers_may_send_again_and_others_may_look(mailing_web: Api, world: Database, server: MailServer) -> None:
    Buyer().buy(mailing_web)
    send_mails()
    mail = world.one("SELECT id FROM mails")
    viewer, manager = staff(), staff("Managers")
    assert "Ticket" in page(viewer, f"{MAILS}/")
    assert viewer.post(f"{MAILS}/{mail}/again/", WHY).status_code == 403
    assert manager.post(f"{MAILS}/{mail}/again/", WHY).status_code == 302
    assert send_mails() == {"sent": 1}
    for forbidden in (f"{MAILS}/add/", f"{MAILS}/{mail}/delete/"):
        assert manager.get(forbidden).status_code == 403


def test_the_subscriber_that_records_for_mail_is_not_shown_or_changed(client: Client, world: Database) -> None:
    subscriber = world.one("SELECT id FROM outbox_subscribers WHERE is_internal")
    assert "Mail to buyers of this service" not in page(client, "/admin/outbox/messagesubscriber/")
    assert client.get(f"/admin/outbox/messagesubscriber/{subscriber}/change/").status_code == 302  # as unknown
