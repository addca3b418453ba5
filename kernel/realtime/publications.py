"""Publications: messages for many subscribers, encoded once however many receive them."""

from functools import cached_property
from typing import Any

import orjson

Message = dict[str, Any]


class Publication:
    """Messages that are published together. `packets` caches their Socket.IO encoding by namespace."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.packets: dict[str, Any] = {}  # see kernel.realtime.socketio.server

    @cached_property
    def frame(self) -> "TextFrame":
        """All of the messages in one frame: a single message as it is, several as a `batch`."""
        if len(self.messages) == 1:
            return encode(self.messages[0])
        return encode({"type": "batch", "messages": self.messages})


class TextFrame(dict[str, str]):
    """The ASGI event that sends a text over a WebSocket. Shared by all connections that send it: never change it."""

    def __init__(self, text: str) -> None:
        super().__init__(type="websocket.send", text=text)

    @cached_property
    def encoded(self) -> bytes:
        """The frame as it goes over the wire, from a server and without compression (RFC 6455, 5.2)."""
        payload = self["text"].encode()
        size = len(payload)
        if size < 126:
            head = bytes((0x81, size))
        elif size < 65536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        return head + payload


def encode(message: Message) -> TextFrame:
    return TextFrame(orjson.dumps(message, default=str).decode())
