"""What is told to many at once: encoded once, however many hear it."""

from functools import cached_property
from typing import Any

import orjson

Message = dict[str, Any]


class News:
    """Messages of one moment."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.packets: dict[
            str, Any
        ] = {}  # the same as Socket.IO tells it, by namespace (kernel.realtime.socketio.server)

    @cached_property
    def event(self) -> "SendText":
        """What sends them as one frame."""
        told: Message = self.messages[0] if len(self.messages) == 1 else {"type": "batch", "messages": self.messages}
        return as_event(told)


class SendText(dict[str, str]):
    """The ASGI event that sends a text. Shared by all who hear it: never change it."""

    def __init__(self, text: str) -> None:
        super().__init__(type="websocket.send", text=text)

    @cached_property
    def frame(self) -> bytes:
        """The same as it goes over the wire, from a server and without compression (RFC 6455, 5.2)."""
        payload = self["text"].encode()
        size = len(payload)
        if size < 126:
            head = bytes((0x81, size))
        elif size < 65536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        return head + payload


def as_event(message: Message) -> SendText:
    return SendText(orjson.dumps(message, default=str).decode())
