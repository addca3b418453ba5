"""Other services: HTTP servers in threads of this process."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def serving_http(handler: type[http.server.BaseHTTPRequestHandler], **attributes: Any) -> Iterator[Any]:
    """A server on a port of its own. `attributes` are set on it, for its handler (as `self.server`) and the test."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    for name, value in attributes.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
