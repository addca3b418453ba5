"""Log formatting for servers that start before Django configures logging, and filters."""

import logging
import os
from typing import Any

from pythonjsonlogger.json import JsonFormatter

JSON: dict[str, Any] = {"rename_fields": {"levelname": "level", "name": "logger"}, "timestamp": True}


def granian_formatter() -> logging.Formatter:
    """Return the formatter of granian's own lines, for ticketservice/granian-log.json."""
    # From the environment: granian starts before there are settings, and `manage.py run` sets LOG_FORMAT for it.
    if os.environ.get("LOG_FORMAT") == "text":
        return logging.Formatter("%(asctime)s %(levelname)s %(name)s [-] %(message)s")
    return JsonFormatter("%(levelname)s %(name)s %(message)s", **JSON)


class ClientFaultFilter(logging.Filter):
    """Takes the traceback out of Django's lines about requests that it refuses, such as DisallowedHost: it is no bug."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
        return True


class ClientErrorFilter(logging.Filter):
    """Drops uvicorn's log of a text frame that is not UTF-8: the client is at fault, and its socket is closed (1007)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "Invalid UTF-8 sequence received from client."
