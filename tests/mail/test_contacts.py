"""Names and addresses: as they were verified, apart from reservations, not kept where mail is off, and forgotten."""

import uuid
from typing import Any

import pytest

from mail.services import purge, send_mails
from mail.tasks import purge as task_of_beat
from tests.support.auth_service import serving
from tests.support.harness import HALL, INTERNAL, STANDING, STANDING_A, Api, Database, manage, running_web, seat
from tests.support.mail_server import MailServer, always
from tests.support.mailing import Buyer, statuses, the_mail
from tests.support.round_trips import running_counted


def contacts(world: Database) -> list[tuple[str, str, str, str]]:
    rows = world.rows("SELECT user_id::text, name, email, language FROM contacts ORDER BY created_at")
    return [tuple(row.values()) for row in rows]


# --- What is kept -----------------------------------------------------------------------------------------------------


def test_what_a_verified_token_says_is_kept_when_something_was_reserved(mailing_web: Api, world: Database) -> None:
    buyer, other = Buyer(language="en"), Buyer(name="", email="other@example.com")
    mailing_web.get("/reservations/my", headers=buyer.headers)
    taken = {"eventId": HALL, "seatIds": [seat(1, 99)]}
    assert mailing_web.post("/seats/reserve", taken, headers=buyer.headers).status == 400
    assert contacts(world) == [], "nothing was reserved"
    buyer.reserve(mailing_web, 1)
    items = {"eventId": STANDING, "items": [{"ticketTypeId": STANDING_A, "quantity": 1}]}
    assert mailing_web.post("/reservations", items, headers=other.headers).status == 201
    assert contacts(world) == [
        (buyer.id, "김하나", "hana@example.com", "en"),
        (other.id, "", "other@example.com", "ko"),
    ]
    assert "hana@" not in str(world.rows("SELECT r::text FROM reservations r")), "apart from reservations"


def test_what_the_auth_service_verified_is_kept_not_what_the_token_says(
    world: Database, database_url: str, logs: Any
) -> None:
    buyer = Buyer(name="A lie", email="lie@example.com")
    user = {"userId": buyer.id, "email": "true@example.com", "name": "The truth", "role": "user"}
    with (
        serving(lambda _: (200, {"valid": True, "user": user})) as auth_service,
        running_web(
            logs / "auth-mailing-web.log",
            DATABASE_URL=database_url,
            WEB_WORKERS="1",
            AUTH_SERVICE_URL=f"http://127.0.0.1:{auth_service.server_port}",
            EMAIL_URL="smtp://127.0.0.1:1",
            MAIL_FROM="t@example.com",
        ) as api,
    ):
        buyer.reserve(api, 1)
    assert contacts(world) == [(buyer.id, "The truth", "true@example.com", "ko")]


def test_a_changed_address_is_the_one_that_counts(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer
) -> None:
    buyer = Buyer()
    reservation = buyer.reserve(mailing_web, 1)
    buyer.email = "new@example.com"
    buyer.reserve(mailing_web, 2)
    mailing_web.confirm(reservation, 150_000)
    send_mails()
    assert [one.recipients for one in server.received] == [["new@example.com"]]
    buyer.email = "hana@example.com"  # and back again
    buyer.buy(mailing_web, 3)
    send_mails()
    assert server.received[1].recipients == ["hana@example.com"]


# --- Names and addresses that want to be more ---------------------------------------------------------------------------

INJECTION = "Bcc: everybody@example.com"


@pytest.mark.parametrize(
    "name",
    [
        f"Hana\r\n{INJECTION}",
        f"Hana\n{INJECTION}\n\n<script>alert(1)</script>",
        "Hana\x00\x1b[31m\u202e\u2028Kim\u0085x",
        "<img src=x onerror=alert(1)>",
        "가" * 5000,
        '"; <evil@example.com>',
        "{{ settings.SECRET_KEY }}{% debug %}",
    ],
)
def test_a_name_changes_neither_headers_nor_markup(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer, name: str
) -> None:
    Buyer(name=name).buy(mailing_web)
    assert send_mails() == {"made": 1, "sent": 1}
    (received,) = server.received
    assert received.recipients == ["hana@example.com"]
    assert received.message["Bcc"] is None
    head = received.content.partition(b"\r\n\r\n")[0].decode()
    assert "everybody" not in head
    assert "Hana" not in head
    assert "<script" not in received.html
    assert "<img" not in received.html
    assert not set("\x00\x1b\u202e\u2028\u0085") & set(received.text + received.html)
    assert len(contacts(world)[0][1]) <= 100


@pytest.mark.parametrize(
    "email",
    [
        f"hana@example.com\r\n{INJECTION}",
        f"hana@example.com\n{INJECTION}",
        "hana@example.com, everybody@example.com",
        '"a\rb"@example.com',
        '"a b"@example.com',
        "Hana <hana@example.com>",
        "hana@example.com\x00",
        "한아@example.com",
        "hana",
        "",
        f"{'h' * 300}@example.com",
    ],
)
def test_an_address_that_is_none_is_not_kept(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer, email: str
) -> None:
    Buyer(email=email).buy(mailing_web)
    assert contacts(world) == []
    assert send_mails() == {"made": 1, "dropped": 1}
    assert (server.received, the_mail(world)["error"]) == ([], "no e-mail address is known")


def test_a_title_changes_no_headers(mail_on: None, mailing_web: Api, world: Database, server: MailServer) -> None:
    world.rows("UPDATE events SET title = %s WHERE id = %s", f"A\r\n{INJECTION}\n<b>show</b> {'x' * 200}", HALL)
    Buyer(language="en").buy(mailing_web)
    send_mails()
    (received,) = server.received
    assert received.message["Bcc"] is None
    assert received.subject.startswith(f"Your tickets: A {INJECTION} <b>show</b>")
    assert "<b>show" not in received.html


# --- Off, and what it costs ---------------------------------------------------------------------------------------------


def test_nothing_is_kept_or_recorded_where_mail_is_off(web: Api, world: Database) -> None:
    Buyer().buy(web)
    assert contacts(world) == []
    assert world.one("SELECT count(*) FROM outbox_messages") == 0
    assert statuses(world) == []


def test_a_buyer_is_written_down_once_and_reserving_then_takes_as_many_round_trips_as_without_mail(
    world: Database, database_url: str, logs: Any
) -> None:
    mail_on = {"EMAIL_URL": "smtp://127.0.0.1:1", "MAIL_FROM": "t@example.com"}
    with running_counted(logs / "counted-mailing.log", database_url, **mail_on) as counted:
        api = counted.api
        for place in range(1, 7):  # statements prepared, scripts loaded
            buyer = Buyer()
            api.cancel(buyer.id, buyer.reserve(api, place))
        buyer = Buyer()

        def reserve(place: int) -> tuple[int, int]:
            body = {"eventId": HALL, "seatIds": [seat(1, place)]}
            return counted.during(lambda: api.post("/seats/reserve", body, headers=buyer.headers))

        assert reserve(11) == (2, 2), "the contact"
        assert reserve(12) == (1, 2)
        assert reserve(13) == (1, 2)
        assert counted.during(lambda: api.cancel(buyer.id, buyer.reserve(api, 14)))[0] >= 1


# --- Forgetting -------------------------------------------------------------------------------------------------------


def test_forget_buyer_deletes_what_there_is_but_the_reservation(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer, database_url: str
) -> None:
    buyer, other = Buyer(), Buyer(email="other@example.com")
    buyer.buy(mailing_web, 1)
    other.buy(mailing_web, 2)
    send_mails()
    reservation = buyer.reserve(mailing_web, 3)
    mailing_web.confirm(reservation, 150_000)
    server.on_recipient = always("451 later")
    send_mails()
    done = manage("forget_buyer", buyer.id, DATABASE_URL=database_url)
    assert (done.returncode, done.stdout.strip()) == (0, f"{buyer.id}: deleted 1 contact and 2 mails")
    assert [row[0] for row in contacts(world)] == [other.id]
    assert {str(row["user_id"]) for row in world.rows("SELECT user_id FROM mails")} == {other.id}
    assert world.one("SELECT count(*) FROM reservations WHERE user_id = %s", buyer.id) == 2
    mailing_web.post(f"/reservations/{reservation}/cancel", headers=buyer.headers)
    assert send_mails() == {"made": 1, "dropped": 1}, "nobody knows where to write to"
    assert len(server.received) == 2


def test_forget_buyer_takes_an_address_and_says_if_nobody_has_it(
    mailing_web: Api, world: Database, database_url: str
) -> None:
    buyer = Buyer(email="Hana@example.com")
    buyer.reserve(mailing_web)
    done = manage("forget_buyer", "hana@EXAMPLE.com", DATABASE_URL=database_url)
    assert (done.returncode, done.stdout.strip()) == (0, f"{buyer.id}: deleted 1 contact and 0 mails")
    again = manage("forget_buyer", "hana@EXAMPLE.com", DATABASE_URL=database_url)
    assert again.returncode != 0
    assert "No contact has this e-mail address" in again.stderr
    unknown = str(uuid.uuid4())
    assert "deleted 0 contact" in manage("forget_buyer", unknown, DATABASE_URL=database_url).stdout


def test_contacts_and_mails_are_purged_when_they_are_no_longer_needed(
    mail_on: None, mailing_web: Api, world: Database, settings: Any
) -> None:
    """While an event is to come, or a refund is due, its buyer can be written to."""
    gone, ticket, refund, recent = (
        Buyer(email=f"{name}@example.com") for name in ("gone", "ticket", "refund", "recent")
    )
    left = gone.reserve(mailing_web, 1)
    mailing_web.post(f"/reservations/{left}/cancel", headers=gone.headers)
    ticket.buy(mailing_web, 2)
    paid = refund.buy(mailing_web, 3)
    mailing_web.post(f"/reservations/{paid}/cancel", headers=refund.headers)
    recent.reserve(mailing_web, 4)
    send_mails()
    assert purge() == {}
    world.rows("UPDATE contacts SET used_at = now() - interval '91 days' WHERE email <> 'recent@example.com'")
    world.rows("UPDATE reservations SET updated_at = now() - interval '91 days'")
    world.rows("UPDATE mails SET created_at = now() - interval '91 days' WHERE kind = 'ticket'")
    settings.MAIL_ENABLED = False  # what was kept is purged all the same
    assert task_of_beat() == {"contacts": 1, "mails": 2}
    assert {row[2] for row in contacts(world)} == {"ticket@example.com", "refund@example.com", "recent@example.com"}
    world.rows("UPDATE events SET event_date = now() - interval '91 days' WHERE id = %s", HALL)
    due = world.one("SELECT id::text FROM refunds WHERE reservation_id = %s", paid)
    assert mailing_web.post(f"/internal/refunds/{due}/done", headers=INTERNAL).status == 200
    world.rows("UPDATE reservations SET updated_at = now() - interval '91 days'")
    assert purge() == {"contacts": 2}
    assert statuses(world) == [("refund_due", "sent")]
