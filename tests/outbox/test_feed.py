"""GET /internal/events: in the order of commits, nothing skipped, kept for seven days."""

import threading
import uuid

import psycopg
import pytest

from outbox.services import number_messages, purge_messages, read_feed
from tests.support.harness import HALL, INTERNAL, STANDING, STANDING_A, Api, Database, at_once, new_user, seat
from tests.support.subscribers import as_worker, subscribe
from tests.support.subscribers import read_feed as read_pages

INSERT = "INSERT INTO outbox_messages (kind, subject_id, data) VALUES ('event.moved', %s, '{}') RETURNING public_id"


def insert(database: Database, subject: str | None = None) -> str:
    return f"msg_{database.one(INSERT, subject or str(uuid.uuid4())).hex}"


def test_a_page_and_the_next(world: Database, web: Api) -> None:
    ids = [insert(world) for _ in range(5)]
    first = web.get("/internal/events?limit=2", headers=INTERNAL).json
    assert ([message["id"] for message in first["events"]], first["hasMore"]) == (ids[:2], True)
    assert first["events"][0].keys() == {"id", "type", "timestamp", "data"}
    rest = web.get(f"/internal/events?after={first['cursor']}", headers=INTERNAL).json
    assert ([message["id"] for message in rest["events"]], rest["hasMore"]) == (ids[2:], False)
    nothing = web.get(f"/internal/events?after={rest['cursor']}", headers=INTERNAL).json
    assert nothing == {"events": [], "cursor": rest["cursor"], "hasMore": False}


def test_an_empty_feed(world: Database, web: Api) -> None:
    assert web.get("/internal/events", headers=INTERNAL).json == {"events": [], "cursor": None, "hasMore": False}


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "after=1&after=2", "limit=0", "after=1%00", "after=" + "1" * 19]
)
def test_rubbish_is_refused(world: Database, web: Api, query: str) -> None:
    assert web.get(f"/internal/events?{query}", headers=INTERNAL).status == 400


def test_a_late_commit_is_never_skipped(world: Database, web: Api, database_url: str) -> None:
    """Its number, and its transaction, are older than what was read before it committed."""
    options = "-c search_path=ticket_schema,public"
    with psycopg.connect(database_url, options=options) as slow, psycopg.connect(database_url, options=options) as fast:
        (late,) = slow.execute(INSERT, [uuid.uuid4()]).fetchone()
        (early,) = fast.execute(INSERT, [uuid.uuid4()]).fetchone()
        fast.commit()
        seen = web.get("/internal/events", headers=INTERNAL).json
        assert [message["id"] for message in seen["events"]] == [f"msg_{early.hex}"]
        slow.commit()
    after = web.get(f"/internal/events?after={seen['cursor']}", headers=INTERNAL).json
    assert [message["id"] for message in after["events"]] == [f"msg_{late.hex}"]
    # The control: by the numbers that inserts take, the late one would be before the cursor.
    ids = world.rows("SELECT public_id FROM outbox_messages ORDER BY id")
    assert [row["public_id"] for row in ids] == [late, early]


def test_readers_beside_writers_see_everything_once_and_in_order(world: Database, web: Api, database_url: str) -> None:
    """Transactions of very different lengths; and each subject's messages are in the order of their commits."""
    subjects = [str(uuid.uuid4()) for _ in range(8)]
    done = threading.Event()
    written: list[list[str]] = []

    def write(subject: str) -> list[str]:
        ids = []
        with psycopg.connect(database_url, options="-c search_path=ticket_schema,public") as connection:
            for n in range(40):
                (found,) = connection.execute(INSERT, [subject]).fetchone()
                if n % 5 == int(subject[0], 16) % 5:
                    connection.execute("SELECT pg_sleep(0.03)")
                connection.commit()
                ids.append(f"msg_{found.hex}")
        return ids

    def read() -> list[str]:
        ids, after = [], None
        while True:
            is_last = done.is_set()
            page = web.get(f"/internal/events?limit=7{f'&after={after}' if after else ''}", headers=INTERNAL).json
            ids += [message["id"] for message in page["events"]]
            after = page["cursor"]
            if is_last and not page["events"]:
                return ids

    readers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: readers.append(read())) for _ in range(3)]
    for thread in threads:
        thread.start()
    written = at_once([lambda subject=subject: write(subject) for subject in subjects])
    done.set()
    for thread in threads:
        thread.join()
    everything = {one for ids in written for one in ids}
    for ids in readers:
        assert len(ids) == len(everything)
        assert set(ids) == everything
        for of_subject in written:
            assert [one for one in ids if one in set(of_subject)] == of_subject
    assert readers[0] == readers[1] == readers[2]


def test_numbering_in_many_processes_at_once_numbers_everything_once(world: Database) -> None:
    ids = [insert(world) for _ in range(50)]
    assert sum(at_once([as_worker(number_messages)] * 6)) == 50
    rows = world.rows("SELECT public_id, position FROM outbox_messages ORDER BY position")
    assert [f"msg_{row['public_id'].hex}" for row in rows] == ids
    assert len({row["position"] for row in rows}) == 50


def test_what_is_older_than_seven_days_is_gone_and_the_reader_is_told(world: Database, web: Api) -> None:
    ids = [insert(world) for _ in range(4)]
    page = web.get("/internal/events?limit=1", headers=INTERNAL).json
    last = web.get("/internal/events", headers=INTERNAL).json["cursor"]
    world.rows("UPDATE outbox_messages SET created_at = now() - interval '6 days 23 hours'")
    assert purge_messages() == 0
    world.rows("UPDATE outbox_messages SET created_at = now() - interval '7 days 1 hour' WHERE position <= 2")
    assert purge_messages() == 2
    gone = web.get(f"/internal/events?after={page['cursor']}", headers=INTERNAL)
    assert (gone.status, gone.json["code"]) == (410, "CURSOR_GONE")
    assert [message["id"] for message in read_pages(web)] == ids[2:]
    # A reader who has everything goes on, however quiet it was.
    world.rows("UPDATE outbox_messages SET created_at = now() - interval '30 days'")
    purge_messages()
    assert web.get(f"/internal/events?after={last}", headers=INTERNAL).json["events"] == []
    new = insert(world)
    assert [message["id"] for message in read_pages(web, last)] == [new]


def test_an_old_message_behind_a_young_one_stays_with_it(world: Database) -> None:
    """Or a cursor before both would skip it, and nobody would be told."""
    for _ in range(3):
        insert(world)
    number_messages()
    world.rows("UPDATE outbox_messages SET created_at = now() - interval '8 days' WHERE position = 2")
    assert purge_messages() == 0
    assert len(read_feed(after=1, limit=10).messages) == 2


def test_who_may_read(world: Database, web: Api) -> None:
    assert web.get("/internal/events").status == 403
    assert web.get("/internal/events", headers={"X-Internal-Token": "wrong"}).status == 403


def test_cancelling_an_event_is_still_at_the_same_prefix(world: Database, web: Api) -> None:
    event = world.add_event()
    assert web.post(f"/internal/events/{event}/cancel", headers=INTERNAL).status == 200


def test_operations_that_race_are_told_in_the_order_in_which_they_happened(world: Database, web: Api) -> None:
    """Payment, cancelling and expiry of the same reservations at once: the messages say what the rows say."""
    subscribe(world)
    users = [new_user() for _ in range(12)]
    reserved = [web.buy(user, STANDING, **{STANDING_A: 1}).json["reservation"]["id"] for user in users]
    held = web.reserve(users[0], HALL, seat(1, 1)).json["reservation"]["id"]
    at_once(
        [lambda one=one: web.confirm(one, 120_000) for one in reserved]
        + [lambda one=one, user=user: web.cancel(user, one) for one, user in zip(reserved, users, strict=True)]
        + [lambda: web.post(f"/internal/events/{STANDING}/cancel", headers=INTERNAL)]
    )
    told: dict[str, list[dict]] = {}
    for message in read_pages(web):
        told.setdefault(message["data"].get("reservationId", ""), []).append(message)
    for one in reserved:
        row = world.rows("SELECT status, payment_status FROM reservations WHERE id = %s", one)[0]
        kinds = [message["type"].partition(".")[2] for message in told[one]]
        assert kinds in (
            ["created", "cancelled"],
            ["created", "confirmed", "cancelled", "refund_due"],
            ["created", "cancelled", "refund_due"],
        ), kinds
        if len(kinds) > 2:  # what was paid is due, because it was cancelled, or since it had been
            assert (told[one][-1]["data"]["refund"]["reason"] == "payment_refused") is ("confirmed" not in kinds)
        assert (told[one][-1]["data"]["status"], told[one][-1]["data"]["paymentStatus"]) == tuple(row.values())
        moments = [message["timestamp"] for message in told[one]]
        assert moments == sorted(moments)
    assert [message["type"] for message in told[held]] == ["reservation.created"]
