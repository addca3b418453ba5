"""Each kind of mail: to whom it goes, in which language, and what it says."""

import re
from collections import Counter
from datetime import timedelta

import pytest

from mail.services import collecting, send_mails
from tests.support.harness import HALL, INTERNAL, STANDING, STANDING_A, Api, Database
from tests.support.mail_server import MailServer, always, as_usual
from tests.support.mailing import PRICE, Buyer, statuses, the_mail

pytestmark = pytest.mark.usefixtures("mail_on")


@pytest.fixture
def event(world: Database) -> dict:
    (row,) = world.rows(
        "SELECT title, venue, event_date AT TIME ZONE 'Asia/Seoul' AS at FROM events WHERE id = %s", HALL
    )
    return row


def number_of(world: Database, reservation: str) -> str:
    number: str = world.one("SELECT reservation_number FROM reservations WHERE id = %s", reservation)
    return number


def test_a_ticket_comes_when_a_reservation_was_paid(
    mailing_web: Api, world: Database, server: MailServer, event: dict
) -> None:
    buyer = Buyer()
    reservation = buyer.reserve(mailing_web, 1, 2)
    assert send_mails() == {}
    assert mailing_web.confirm(reservation, 2 * PRICE).status == 200
    assert send_mails() == {"made": 1, "sent": 1}
    (received,) = server.received
    message = received.message
    assert received.recipients == ["hana@example.com"]
    assert message["To"] == "hana@example.com"
    assert message["From"] == "Tickets <tickets@tickets.example>"
    assert message["Reply-To"] == "help@tickets.example"
    assert received.subject == f"예매 완료: {event['title']}"
    assert message["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<[0-9a-f]{32}@tickets\.example>", message["Message-ID"])
    labels = [row["seat_label"] for row in world.rows("SELECT seat_label FROM seats WHERE id::text ~ '^5ea70001.*[12]$'"
                                                      " AND right(id::text, 12)::bigint < 3")]  # fmt: skip
    assert len(labels) == 2
    for shown in (event["title"], event["venue"], *labels, number_of(world, reservation), "300,000원", "김하나",
                  f"{event['at']:%Y}년 {event['at'].month}월 {event['at'].day}일"):  # fmt: skip
        assert shown in received.text, shown
        assert shown in received.html, shown
    assert f"https://shop.example/reservations/{reservation}" in received.text
    assert send_mails() == {}, "once"
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("en-US,en;q=0.9,ko;q=0.5", "Your tickets: "),
        ("ko", "예매 완료: "),
        ("fr-FR,fr;q=0.9,en;q=0.1", "Your tickets: "),
        ("fr", "예매 완료: "),  # nothing that we speak: LANGUAGE_CODE
        ("", "예매 완료: "),
        ("x" * 600, "예매 완료: "),
    ],
)
def test_it_is_in_the_language_of_the_request_that_reserved(
    mailing_web: Api, server: MailServer, event: dict, language: str, subject: str
) -> None:
    Buyer(language=language).buy(mailing_web)
    send_mails()
    assert server.received[0].subject == subject + event["title"]


def test_a_refund_is_told_when_it_is_due_and_when_it_is_done(
    mailing_web: Api, world: Database, server: MailServer
) -> None:
    buyer = Buyer(language="en")
    reservation = buyer.buy(mailing_web, 1)
    assert mailing_web.post(f"/reservations/{reservation}/cancel", headers=buyer.headers).status == 200
    refund = world.one("SELECT id::text FROM refunds")
    send_mails()
    assert mailing_web.post(f"/internal/refunds/{refund}/done", headers=INTERNAL).status == 200
    send_mails()
    subjects = [one.subject.partition(":")[0] for one in server.received]
    assert subjects == ["Your tickets", "Your refund is on its way", "Your refund is complete"]
    assert "₩150,000" in server.received[1].text
    assert "You have cancelled" in server.received[1].text
    assert number_of(world, reservation) in server.received[2].text


def test_the_refund_of_a_part_names_the_part(mailing_web: Api, world: Database, server: MailServer) -> None:
    buyer = Buyer(language="en")
    items = {"eventId": STANDING, "items": [{"ticketTypeId": STANDING_A, "quantity": 3}]}
    reservation = mailing_web.post("/reservations", items, headers=buyer.headers).json["reservation"]["id"]
    assert mailing_web.confirm(reservation, 360_000).status == 200
    part = {"items": [{"ticketTypeId": STANDING_A, "quantity": 2}]}
    assert mailing_web.post(f"/reservations/{reservation}/cancel", part, headers=buyer.headers).status == 200
    send_mails()
    name = world.one("SELECT name FROM ticket_types WHERE id = %s", STANDING_A)
    ticket, refund = server.received
    assert f"{name} × 3" in ticket.text
    assert f"{name} × 2" in refund.text
    assert "₩240,000" in refund.text


def test_a_payment_that_bought_nothing_is_told(mailing_web: Api, server: MailServer) -> None:
    reservation = Buyer(language="en").reserve(mailing_web, 1)
    assert mailing_web.confirm(reservation, 1).status == 409
    send_mails()
    assert "its amount was not right" in server.received[0].text
    assert "₩1\n" in server.received[0].text


def test_all_who_have_paid_are_told_that_an_event_has_moved(
    mailing_web: Api, world: Database, server: MailServer
) -> None:
    paid, twice, holds, left = (
        Buyer(email=f"{name}@example.com", language="en") for name in ("paid", "twice", "holds", "left")
    )
    paid.buy(mailing_web, 1)
    twice.buy(mailing_web, 2)
    twice.buy(mailing_web, 3)
    holds.reserve(mailing_web, 4)
    mailing_web.post(f"/reservations/{left.buy(mailing_web, 5)}/cancel", headers=left.headers)
    send_mails()
    server.received.clear()
    world.rows(
        "UPDATE events SET event_date = event_date + interval '7 days', venue = 'Another hall' WHERE id = %s", HALL
    )
    # World has one more, who has never reserved with mail on.
    assert send_mails() == {"made": 3, "sent": 2, "dropped": 1}
    assert sorted(one.recipients[0] for one in server.received) == ["paid@example.com", "twice@example.com"]
    (row,) = world.rows("SELECT event_date AT TIME ZONE 'Asia/Seoul' AS at FROM events WHERE id = %s", HALL)
    old = row["at"] - timedelta(days=7)
    for shown in (f"{row['at'].day} {row['at']:%B %Y}", f"{old.day} {old:%B %Y}", "Another hall"):
        assert shown in server.received[0].text
        assert shown in server.received[0].html


def test_a_move_is_told_to_more_buyers_than_one_statement_writes_to(
    mailing_web: Api, world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what comes before and after it in the outbox is told once, too."""
    monkeypatch.setattr(collecting, "FAN_OUT", 2)
    buyers = [Buyer(email=f"buyer-{place}@example.com") for place in range(1, 6)]
    for place, buyer in enumerate(buyers, 1):
        buyer.buy(mailing_web, place)
    world.rows("UPDATE events SET venue = 'Another hall' WHERE id = %s", HALL)
    world.rows("UPDATE events SET venue = 'A third hall' WHERE id = %s", HALL)
    buyers[0].buy(mailing_web, 6)
    assert collecting.collect() == 5 + 2 * 6 + 1  # world has one more buyer
    kinds = Counter(kind for kind, _ in statuses(world))
    assert kinds == {"ticket": 6, "event_moved": 12}
    assert collecting.collect() == 0


def test_a_move_into_the_past_is_a_correction_and_told_to_nobody(mailing_web: Api, world: Database) -> None:
    Buyer().buy(mailing_web, 1)
    world.rows("ALTER TABLE events DISABLE TRIGGER event_moved")
    world.rows("UPDATE events SET event_date = now() - interval '9 days' WHERE id = %s", HALL)
    world.rows("ALTER TABLE events ENABLE TRIGGER event_moved")
    world.rows("UPDATE events SET event_date = now() - interval '8 days' WHERE id = %s", HALL)
    send_mails()
    assert [kind for kind, _ in statuses(world)] == ["ticket"]


def test_a_cancelled_event_is_told_once_for_each_paid_reservation(
    mailing_web: Api, world: Database, server: MailServer
) -> None:
    paid = Buyer(email="paid@example.com", language="en")
    reservation = paid.buy(mailing_web, 1)
    Buyer(email="holds@example.com").reserve(mailing_web, 2)
    send_mails()
    server.received.clear()
    assert mailing_web.post(f"/internal/events/{HALL}/cancel", headers=INTERNAL).status == 200
    send_mails()
    (received,) = server.received
    assert received.recipients == ["paid@example.com"]
    assert received.subject.startswith("Cancelled: ")
    assert "₩150,000" in received.text
    assert number_of(world, reservation) in received.text
    refund = world.one("SELECT id::text FROM refunds WHERE reservation_id = %s", reservation)
    mailing_web.post(f"/internal/refunds/{refund}/done", headers=INTERNAL)
    send_mails()
    assert server.received[1].subject.startswith("Your refund is complete")


# As the statement that makes an offer records it.
OFFERED = """
INSERT INTO outbox_messages (kind, subject_id, event_id, data)
SELECT 'waitlist.offered', r.id, r.event_id, jsonb_build_object(
    'reservationId', r.id, 'reservationNumber', r.reservation_number, 'userId', r.user_id, 'eventId', r.event_id,
    'status', r.status, 'paymentStatus', r.payment_status, 'totalAmount', r.total_amount, 'paymentId', r.payment_id,
    'deadline', r.deadline, 'items', (SELECT jsonb_agg(jsonb_build_object('seatId', i.seat_id, 'ticketTypeId',
        i.ticket_type_id, 'quantity', i.quantity, 'unitPrice', i.unit_price)) FROM reservation_items i
        WHERE i.reservation_id = r.id))
FROM reservations r WHERE r.id = %s
"""


def test_an_offer_from_the_waiting_list_says_until_when(mailing_web: Api, world: Database, server: MailServer) -> None:
    reservation = Buyer(language="en").reserve(mailing_web, 1)
    world.rows(OFFERED, reservation)
    send_mails()
    (received,) = server.received
    assert received.subject.startswith("It is your turn: ")
    deadline = world.one(
        "SELECT to_char(deadline AT TIME ZONE 'Asia/Seoul', 'HH24:MI') FROM reservations WHERE id = %s", reservation
    )
    assert f"until {re.search(rf'[^.]*{deadline}', received.text)[0].split('until ')[1]}" in received.text
    assert "₩150,000" in received.text
    assert f"https://shop.example/reservations/{reservation}" in received.html


def test_an_offer_that_is_over_is_not_sent(mailing_web: Api, world: Database, server: MailServer) -> None:
    reservation = Buyer().reserve(mailing_web, 1)
    world.expire(reservation)
    world.rows(OFFERED, reservation)
    assert send_mails() == {"made": 1, "dropped": 1}
    assert (server.received, the_mail(world)["error"]) == ([], "the offer is over")


def test_mails_to_one_buyer_come_in_order(mailing_web: Api, world: Database, server: MailServer) -> None:
    """The first waits for its second attempt, and with it all that follows."""
    buyer = Buyer(language="en")
    server.on_recipient = always("451 later")
    reservation = buyer.buy(mailing_web, 1)
    mailing_web.post(f"/reservations/{reservation}/cancel", headers=buyer.headers)
    send_mails()
    assert statuses(world) == [("ticket", "pending"), ("refund_due", "pending")]
    server.on_recipient = as_usual
    world.rows("UPDATE mails SET next_attempt_at = now() - interval '1 second' * id")  # the later one is due for longer
    send_mails()
    assert [one.subject.partition(":")[0] for one in server.received] == [
        "Your tickets",
        "Your refund is on its way",
    ]
