"""docs/asyncapi.yaml: it is valid, and what is heard is what it says, every message of every channel."""

import ast
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.harness import HALL, INTERNAL, ROOT, STANDING, STANDING_A, Api, Database, new_user, seat, token
from tests.support.live import Realtime, running_realtime
from tests.support.socketio_clients import OfPython, SocketIOClient
from tests.support.waiting_room import store_policy, tick_until, wait_in_line

pytestmark = pytest.mark.slow

# Where messages are made. "queue-advanced" and "waitlist-advanced" go from process to process only.
SOURCES = ["kernel/realtime/channel.py", "kernel/realtime/consumers.py", "queueing/realtime.py", "seats/realtime.py",
           "gateway/presence.py", "gateway/socketio.py"]  # fmt: skip
INTERNAL_TYPES = {"queue-advanced", "waitlist-advanced"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())


def message(document: dict[str, Any], channel: str, name: str) -> dict[str, Any]:
    found = document["channels"][channel]["messages"][name]["$ref"].rpartition("/")[2]
    return document["components"]["messages"][found]


def names(document: dict[str, Any], channel: str, action: str) -> set[str]:
    """Of the messages that the server sends or receives on a channel."""
    found = set()
    for operation in document["operations"].values():
        if operation["channel"]["$ref"] == f"#/channels/{channel}" and operation["action"] == action:
            listed = [one["$ref"].rpartition("/")[2] for one in operation.get("messages", ())]
            found |= set(listed or document["channels"][channel]["messages"])
    return found


def check(document: dict[str, Any], payload: Any, shape: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(
        {"allOf": [shape], "components": document["components"]}, format_checker=jsonschema.FormatChecker(["uuid"])
    )
    validator.validate(payload)


# --- The document -----------------------------------------------------------------------------------------------------


def test_is_valid_asyncapi(document: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "tests" / "schemas" / "asyncapi.json").read_text())
    jsonschema.Draft7Validator(schema).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**document, "channels": {"seats": {"adress": "/"}}})


def test_every_reference_leads_somewhere_and_everything_is_used(document: dict[str, Any]) -> None:
    referred = set(every_reference(document))
    for reference in referred:
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    defined = {f"#/components/{kind}/{name}" for kind, members in document["components"].items() for name in members}
    # The bodies of events are merged into the messages of raw sockets as they are, by YAML.
    assert defined <= referred
    for channel, described in document["channels"].items():
        assert names(document, channel, "send") | names(document, channel, "receive") == set(described["messages"])
        for name, reference in described["messages"].items():
            assert message(document, channel, name)["name"] == name, reference


def every_reference(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from every_reference(member)
    elif isinstance(value, list):
        for member in value:
            yield from every_reference(member)


def test_examples_are_what_they_are_examples_of(document: dict[str, Any]) -> None:
    for described in document["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(described["payload"])
        for example in described["examples"]:
            check(document, example["payload"], described["payload"])
            with pytest.raises(jsonschema.ValidationError):
                check(document, ["rubbish"], described["payload"])


def test_names_every_message_that_the_code_can_make_and_no_other(document: dict[str, Any]) -> None:
    made = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / source).read_text())):
            if isinstance(node, ast.Dict):
                pairs = {ast.literal_eval(key): value for key, value in zip(node.keys, node.values, strict=True)
                         if isinstance(key, ast.Constant)}  # fmt: skip
                if isinstance(kind := pairs.get("type"), ast.Constant):
                    made.add(kind.value)
    from seats.realtime import STATUS_AFTER

    described = set.union(*(names(document, channel, "send") for channel in document["channels"]))
    assert made | set(STATUS_AFTER) == described | INTERNAL_TYPES


# --- What is heard ----------------------------------------------------------------------------------------------------


class Audience:
    """Sockets and clients on every channel, all of whose messages are looked at in the end."""

    def __init__(self, realtime: Realtime, user: str) -> None:
        self._realtime = realtime
        auth = {"token": token(user)}
        self.raw = {
            "seats": [realtime.seats(HALL), realtime.seats(STANDING)],
            "queue": [realtime.open(f"/ws/queue/{HALL}", subprotocols=["bearer", token(user)])],
        }
        self.web_client = self._client("/", auth)
        self.clients: dict[str, list[SocketIOClient]] = {
            "socketio": [self.web_client],
            "socketioSeats": [self._client(f"/seats/{event_id}", {}) for event_id in (HALL, STANDING)],
            "socketioQueue": [self._client(f"/queue/{HALL}", auth)],
        }

    def _client(self, namespace: str, auth: dict[str, str]) -> OfPython:
        return OfPython(self._realtime.port, namespace, auth, [], ["websocket"])

    def follow_in_tabs(self, user: str, count: int) -> None:
        for _ in range(count):
            self.clients["socketioQueue"].append(self._client(f"/queue/{HALL}", {"token": token(user)}))
            self.clients["socketioQueue"][-1].first("queue-position")

    def messages(self) -> Iterator[tuple[str, str, Any]]:
        """Channel, name and payload."""
        for channel, sockets in self.raw.items():
            for socket in sockets:
                yield from ((channel, frame["type"], frame) for frame in socket.frames)
                yield from ((channel, message["type"], message) for message in socket.messages)
        for channel, clients in self.clients.items():
            for client in clients:
                yield from ((channel, name, body) for name, body in client.all if "connect" not in name)

    def close(self) -> None:
        for clients in self.clients.values():
            for client in clients:
                client.close()


def test_what_is_heard_is_what_is_described(
    document: dict[str, Any], database_url: str, logs: Path, web: Api, world: Database
) -> None:
    store_policy(threshold=0, is_new=True, world=world)
    first, second = new_user(), new_user()
    wait_in_line(web, first, second)
    with running_realtime(logs / "realtime-described.log", DATABASE_URL=database_url) as realtime:
        audience = Audience(realtime, first)
        say_what_is_described(document, audience)
        let_in_and_sell(audience, web, world, first)
        audience.follow_in_tabs(second, 6)
        audience.web_client.cut()
        audience.web_client.first("session-restored", seconds=15)
        realtime.process.terminate()
        for clients in audience.clients.values():
            clients[0].first("retry")
        realtime.process.wait(15)
        heard: dict[str, set[str]] = {channel: set() for channel in document["channels"]}
        for channel, name, payload in audience.messages():
            assert name in names(document, channel, "send"), (channel, name, payload)
            check(document, payload, message(document, channel, name)["payload"])
            heard[channel].add(name)
        audience.close()
    assert heard == {channel: names(document, channel, "send") for channel in document["channels"]}


def say_what_is_described(document: dict[str, Any], audience: Audience) -> None:
    """What a client may say is taken; the rest is answered with an error."""
    for channel, (socket, *_) in audience.raw.items():
        for name in names(document, channel, "receive"):
            socket.send(message(document, channel, name)["examples"][0]["payload"])
        socket.send("rubbish")
        assert len(socket.wait(lambda heard: heard.of_type("error"))) == 1
    said = sorted(names(document, "socketio", "receive"), key=lambda name: name.startswith("join"))
    for event_id in (STANDING, HALL):
        for name in said:  # what was left is joined in the end
            payload = {**message(document, "socketio", name)["examples"][0]["payload"], "eventId": event_id}
            assert audience.web_client.emit(name, payload) == {"success": True}, name
    assert audience.web_client.emit("no-such-thing")["success"] is False
    audience.web_client.first("room-info")


def let_in_and_sell(audience: Audience, web: Api, world: Database, user: str) -> None:
    from queueing import services as queueing

    (in_line,) = audience.raw["queue"]
    hall, standing = audience.raw["seats"]
    store_policy(threshold=1000, world=world)
    tick_until(lambda: in_line.of_type("queue-entry-allowed"))
    in_line.first("queue-updated")
    pass_ = {"Queue-Pass": in_line.first("queue-entry-allowed")["pass"]}
    bought = web.reserve(user, HALL, seat(1, 1), headers=pass_).json["reservation"]
    assert web.confirm(bought["id"], bought["totalAmount"]).status == 200
    assert web.refund(bought["id"]).status == 200
    hall.first("seat-released")
    several = web.reserve(new_user(), HALL, seat(1, 2), seat(1, 3)).json["reservation"]
    assert web.confirm(several["id"], several["totalAmount"]).status == 200
    hall.wait(lambda heard: len(heard.of_type("seat-sold")) == 3)
    world.rows("UPDATE events SET has_waitlist = true WHERE id = %s", HALL)
    world.rows("INSERT INTO waitlist_entries (event_id, user_id, quantity) VALUES (%s, %s, 1)", HALL, user)
    assert web.refund(several["id"]).status == 200
    in_line.first("waitlist-offered")
    assert web.buy(new_user(), STANDING, **{STANDING_A: 2}).status == 201
    assert web.post(f"/internal/events/{STANDING}/cancel", headers=INTERNAL).status == 200
    standing.first("event-status-changed")
    queueing.clear_queue(event_id=uuid.UUID(HALL))
    for client in (audience.web_client, audience.clients["socketioQueue"][0]):
        client.first("queue-cleared")
        client.first("queue-updated")
        client.first("waitlist-offered")
    for client in (audience.web_client, *audience.clients["socketioSeats"][1:]):
        client.first("event-status-changed")
        client.first("ticket-updated")
