"""A subscriber that fails keeps nothing from the others of its channel."""

import asyncio

import pytest

from kernel.realtime import metrics
from kernel.realtime.channel import Channel, Message, Publication

pytestmark = pytest.mark.slow


class Source:
    kind, name = "seats", "live:test"

    async def current_version(self, *, redis_was_restarted: bool) -> int:  # noqa: ARG002 - as ChannelSource
        return 0

    def hello(self, version: int) -> Message:
        return {"type": "hello", "version": version}


class Listener:
    def __init__(self) -> None:
        self.heard: list[Message] = []

    def on_publication(self, publication: Publication) -> None:
        self.heard += publication.messages


class Broken:
    def on_publication(self, publication: Publication) -> None:  # noqa: ARG002 - as Subscriber
        raise RuntimeError("a bug")


def test_a_subscriber_that_fails_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    failures = metrics.websocket_delivery_failures.labels(kind="seats")
    before = failures._value.get()
    listeners = [Listener() for _ in range(20)]

    async def publish() -> None:
        channel = Channel(Source())
        channel.subscribers = {*listeners, Broken()}
        channel.open_at(0)
        for number in (1, 2):
            channel.publish(number, [{"type": "seat-sold"}])
            await asyncio.sleep(0.05)

    asyncio.run(publish())
    assert [[message["version"] for message in one.heard] for one in listeners] == [[1, 2]] * 20
    assert failures._value.get() == before + 2
    assert "live:test failed" in caplog.text
