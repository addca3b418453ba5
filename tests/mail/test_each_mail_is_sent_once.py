"""Sent once, as far as SMTP lets anybody know: servers that are away, refuse, hang up; workers that are killed."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail.services import send_mails
from mail.tasks import send_mails as task_of_beat
from tests.support.background import BackgroundProcesses, kill, running_background
from tests.support.harness import Api, Database, at_once, wait_until
from tests.support.mail_server import HANG_UP, MailServer, always, as_usual
from tests.support.mailing import FROM, Buyer, statuses, the_mail
from tests.support.subscribers import as_worker


def make_due(world: Database) -> None:
    world.rows("UPDATE mails SET next_attempt_at = now() WHERE status = 'pending'")
    world.rows("UPDATE mail_progress SET not_before = NULL")


@pytest.fixture
def bought(mail_on: None, mailing_web: Api, world: Database) -> str:
    """One ticket mail waits."""
    return Buyer().buy(mailing_web)


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["on_sender", "on_recipient", "on_content"])
def test_a_mail_that_is_refused_for_now_is_tried_again_after_pauses_that_grow(
    bought: str, world: Database, server: MailServer, settings: Any, stage: str
) -> None:
    settings.MAIL_FIRST_PAUSE_SECONDS = 100.0
    setattr(server, stage, always("451 4.7.1 greylisted, hana@example.com"))
    pauses = []
    for _ in range(4):
        assert send_mails().get("pending") == 1
        pauses.append(the_mail(world)["pause"].total_seconds())
        make_due(world)
    expected = (100, 400, 1600, 3600)  # the last one is the longest there is
    for pause, base in zip(pauses, expected, strict=True):
        assert base * 0.89 < pause < base * 1.11
    assert the_mail(world)["error"] == "451 4.7.1 greylisted, (address)"
    setattr(server, stage, as_usual)
    assert send_mails() == {"sent": 1}
    assert len(server.received) == 1


@pytest.mark.parametrize("stage", ["on_recipient", "on_content"])
def test_a_mail_that_is_refused_for_good_is_given_up(
    bought: str, world: Database, server: MailServer, stage: str
) -> None:
    setattr(server, stage, always("550 5.1.1 <hana@example.com>: no such mailbox"))
    assert send_mails() == {"made": 1, "failed": 1}
    assert (the_mail(world)["status"], the_mail(world)["error"]) == ("failed", "550 5.1.1 <(address)>: no such mailbox")
    assert send_mails() == {}


def test_a_server_that_refuses_us_loses_no_mail(bought: str, world: Database, server: MailServer) -> None:
    """It is a fault of the sender or the settings, not of this mail."""
    server.on_sender = always("550 5.7.1 sender not allowed")
    assert send_mails()["pending"] == 1
    server.on_sender = as_usual
    make_due(world)
    assert send_mails() == {"sent": 1}


def test_what_was_tried_for_too_long_is_given_up(bought: str, world: Database, server: MailServer) -> None:
    server.on_recipient = always("451 later")
    world.rows("UPDATE mails SET pending_since = now()")
    send_mails()
    world.rows("UPDATE mails SET pending_since = now() - interval '4 days', next_attempt_at = now()")
    send_mails()
    assert statuses(world) == [("ticket", "failed")]


def test_while_the_server_is_away_mails_wait_and_it_is_asked_less_and_less(
    bought: str, world: Database, server: MailServer, settings: Any
) -> None:
    settings.MAIL_FIRST_PAUSE_SECONDS = 10.0
    settings.EMAIL_PORT = 1
    rests = []
    for _ in range(3):
        send_mails()
        rests.append(world.one("SELECT extract(epoch FROM not_before - now()) FROM mail_progress"))
        assert send_mails() == {}, "not asked again before that"
        make_due(world)
    assert [round(float(rest), -1) for rest in rests] == [10, 20, 40]
    assert (the_mail(world)["status"], the_mail(world)["attempts"]) == ("pending", 0)
    settings.EMAIL_PORT = server.port
    assert send_mails() == {"sent": 1}
    assert world.one("SELECT failures FROM mail_progress") == 0


# --- Nobody knows -----------------------------------------------------------------------------------------------------


def test_a_server_that_hangs_up_after_the_content_may_have_it_and_gets_it_no_more(
    bought: str, world: Database, server: MailServer
) -> None:
    server.on_content = always(HANG_UP)
    assert send_mails() == {"made": 1, "uncertain": 1}
    server.on_content = as_usual
    make_due(world)
    assert send_mails() == {}
    assert (len(server.received), the_mail(world)["status"]) == (1, "uncertain")


def test_a_server_that_closes_an_old_connection_gets_the_mail_over_a_new_one(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer
) -> None:
    """As servers do after so many mails. Nothing was handed over, so nobody has to wait for the second attempt."""
    for place in range(1, 9):
        Buyer(email=f"buyer-{place}@example.com").buy(mailing_web, place)
    server.closes_after = 1
    assert send_mails() == {"made": 8, "sent": 8}
    assert len({one.recipients[0] for one in server.received}) == len(server.received) == 8
    assert server.connections == 8
    assert {row["attempts"] for row in world.rows("SELECT attempts FROM mails")} == {1}


# --- Many at once -----------------------------------------------------------------------------------------------------


def test_workers_that_run_at_once_send_each_mail_once(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer
) -> None:
    for place in range(1, 17):
        Buyer(email=f"buyer-{place}@example.com").buy(mailing_web, place)
    at_once([as_worker(send_mails)] * 6)
    wait_until(lambda: send_mails() == {}, seconds=20)
    assert Counter(one.recipients[0] for one in server.received) == {f"buyer-{n}@example.com": 1 for n in range(1, 17)}
    assert set(statuses(world)) == {("ticket", "sent")}


def test_without_claims_mails_would_be_sent_twice(
    mail_on: None, mailing_web: Api, world: Database, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: connections that leave a mail pending while they send it."""
    from mail.services import sending

    monkeypatch.setattr(sending, "_CLAIM", sending._CLAIM.replace("SET status = 'sending', ", "SET "))
    monkeypatch.setattr(sending, "_HAND_OVER", "SELECT %(id)s::bigint AS id, %(attempts)s::int AS attempts")
    monkeypatch.setattr(sending, "MAX_SECONDS", 2.0)
    for place in range(1, 9):
        Buyer(email=f"buyer-{place}@example.com").buy(mailing_web, place)
    send_mails()
    assert len(server.received) > 8


# --- Workers that are killed ------------------------------------------------------------------------------------------


@pytest.fixture
def mailing(world: Database, server: MailServer, database_url: str, logs: Path) -> Iterator[BackgroundProcesses]:
    """Workers and beats with mail on."""
    settings = {"EMAIL_URL": server.url, "MAIL_FROM": FROM, "MAIL_FIRST_PAUSE_SECONDS": "0.2"}
    with running_background(database_url, logs, **settings) as processes:
        yield processes


def is_subscribed(world: Database) -> bool:
    return bool(world.one("SELECT count(*) FROM outbox_subscribers WHERE is_internal AND is_active"))


class Gate:
    """Holds the server's answer back until it is opened; counts who has come."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, _: Any) -> None:
        self.reached.set()
        self.opened.wait(60)


@pytest.mark.long
@pytest.mark.parametrize(("stage", "ends"), [("on_recipient", "sent"), ("on_content", "uncertain")])
def test_a_worker_that_is_killed_while_it_sends(
    mailing: BackgroundProcesses, mailing_web: Api, world: Database, server: MailServer, stage: str, ends: str
) -> None:
    """Before the content it is sent again. After it nobody knows, and it is not: two tickets would be worse than a look."""
    gate = Gate()
    setattr(server, stage, gate)
    mailing.start("beat")
    worker = mailing.start("worker")
    wait_until(lambda: is_subscribed(world), seconds=30)
    Buyer().buy(mailing_web)
    assert gate.reached.wait(30)
    kill(worker)
    setattr(server, stage, as_usual)
    gate.opened.set()
    assert statuses(world) == [("ticket", "sending")]
    world.rows("UPDATE mails SET claimed_at = claimed_at - interval '11 minutes'")
    world.rows("UPDATE mail_progress SET leased_until = NULL")
    mailing.start("worker")
    wait_until(lambda: statuses(world) == [("ticket", ends)], seconds=40)
    time.sleep(3)
    sent = [one for one in server.received if one.recipients == ["hana@example.com"]]
    assert len(sent) <= 1, "never twice"
    assert len(sent) == 1 or ends == "uncertain"


@pytest.mark.slow
def test_the_worker_and_the_beat_send_mail_and_stop_when_it_is_off(
    mailing: BackgroundProcesses, mailing_web: Api, web: Api, world: Database, server: MailServer
) -> None:
    processes = [mailing.start("worker"), mailing.start("beat")]
    wait_until(lambda: is_subscribed(world), seconds=30)
    Buyer().buy(mailing_web)
    wait_until(lambda: server.received, seconds=20)
    wait_until(lambda: statuses(world) == [("ticket", "sent")], seconds=5)
    for process in processes:
        kill(process)
    # Mail is switched off, and then on again: what was bought meanwhile is no news.
    task_of_beat()
    assert not is_subscribed(world)
    Buyer().buy(mailing_web, 2)
    assert world.one("SELECT count(*) FROM outbox_messages") == 1
    mailing.start("worker")
    mailing.start("beat")
    wait_until(lambda: is_subscribed(world), seconds=30)
    Buyer(email="next@example.com").buy(mailing_web, 3)
    wait_until(lambda: len(server.received) == 2, seconds=20)
    assert server.received[1].recipients == ["next@example.com"]
