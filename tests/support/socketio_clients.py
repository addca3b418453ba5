"""Clients of Socket.IO for tests: the official one in JavaScript, and python-socketio's."""

import itertools
import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import socketio

from tests.support.tools import SOCKETIO_MODULES, SOCKETIO_SOURCES

Message = dict[str, Any]

KINDS = ["js-default", "js-websocket", "js-polling", "python-websocket", "python-polling"]  # client and transport


class SocketIOClient:
    """What a client has heard: (event, body), one after the other."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []
        self._changed = threading.Condition()

    def note(self, event: str, body: Any) -> None:
        with self._changed:
            self.all.append((event, body))
            self._changed.notify_all()

    def of(self, event: str) -> list[Any]:
        return [body for name, body in self.all if name == event]

    def wait(self, condition: Callable[["SocketIOClient"], Any], seconds: float = 10) -> Any:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), seconds), self.all[-5:]
            return condition(self)

    def first(self, event: str, seconds: float = 10) -> Any:
        return self.wait(lambda heard: heard.of(event), seconds)[0]

    # For subclasses
    def emit(self, event: str, *args: Any) -> Any:
        """What the server acknowledges it with."""
        raise NotImplementedError

    def cut(self) -> None:
        """As if the network had gone. Over WebSocket; of one that polls that is noticed after 45 s."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class OfPython(SocketIOClient):
    """Notes what it hears in threads, so that the order is not quite certain."""

    def __init__(self, port: int, namespace: str, auth: Any, emits: list[tuple], transports: list[str]) -> None:
        super().__init__()
        self._namespace = namespace
        self._client = socketio.Client(reconnection_delay=0.1, handle_sigint=False)
        on = self._client.on
        on("*", lambda event, body=None: self.note(event, body), namespace=namespace)
        on("connect", lambda: self._connected(emits), namespace=namespace)
        on("disconnect", lambda reason=None: self.note("disconnect", {"reason": reason}), namespace=namespace)
        on("connect_error", lambda error=None: self.note("connect_error", error), namespace=namespace)
        try:
            self._client.connect(
                f"http://127.0.0.1:{port}", auth=auth, namespaces=[namespace], transports=transports, wait_timeout=15
            )
        except socketio.exceptions.ConnectionError as error:
            self.note("connect_error", {"message": str(error)})

    def _connected(self, emits: list[tuple]) -> None:
        for event, *args in emits:
            self._client.emit(event, args[0] if args else None, namespace=self._namespace)
        self.note("connect", None)

    def emit(self, event: str, *args: Any) -> Any:
        return self._client.call(event, args[0] if args else None, namespace=self._namespace, timeout=10)

    def cut(self) -> None:
        self._client.eio.ws.sock.shutdown(2)

    def close(self) -> None:
        self._client.shutdown()


class JavaScript:
    """A node process with the official client."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", SOCKETIO_SOURCES / "clients.cjs", SOCKETIO_MODULES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._clients: dict[int, OfJavaScript] = {}
        self._ids = itertools.count()
        threading.Thread(target=self._listen, daemon=True).start()

    def open(self, port: int, namespace: str, auth: Any, emits: list[tuple], **options: Any) -> "OfJavaScript":
        number = next(self._ids)
        client = self._clients[number] = OfJavaScript(self, number)
        url = f"http://127.0.0.1:{port}{namespace}"
        self.tell(id=number, do="open", url=url, auth=auth or {}, options=options, emits=emits)
        client.wait(lambda heard: heard.of("connect") or heard.of("connect_error"), 20)
        return client

    def tell(self, **command: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            said = json.loads(line)
            self._clients[said["id"]].note(said["event"], said["args"][0] if said["args"] else None)

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


class OfJavaScript(SocketIOClient):
    def __init__(self, node: JavaScript, number: int) -> None:
        super().__init__()
        self._node, self._number = node, number

    def emit(self, event: str, *args: Any) -> Any:
        before = len(self.of("ack"))
        self._node.tell(id=self._number, do="emit", args=[event, *args])
        return self.wait(lambda heard: heard.of("ack")[before:])[0]

    def cut(self) -> None:
        self._node.tell(id=self._number, do="cut")

    def close(self) -> None:
        self._node.tell(id=self._number, do="close")
