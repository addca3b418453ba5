"""The WSGI application for `make coverage`: coverage also traces the threads of granian.

Rust starts those threads, so that the threading module, in which coverage installs its trace function, does not know them.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ticketservice.wsgi import application as traced_application


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if sys.gettrace() is None:
        sys.settrace(threading.gettrace())
    return traced_application(environ, start_response)
