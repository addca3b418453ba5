"""How lines of the log look where Django has not set it up, and what is not worth one."""

import logging
import os
from typing import Any

from pythonjsonlogger.json import JsonFormatter

JSON: dict[str, Any] = {"rename_fields": {"levelname": "level", "name": "logger"}, "timestamp": True}


def of_granian() -> logging.Formatter:
    """For granian's own lines: it starts before there are settings, and `manage.py run` sets LOG_FORMAT for it."""
    if os.environ.get("LOG_FORMAT") == "text":
        return logging.Formatter("%(asctime)s %(levelname)s %(name)s [-] %(message)s")
    return JsonFormatter("%(levelname)s %(name)s %(message)s", **JSON)


class FaultsOfClients(logging.Filter):
    """uvicorn logs a text frame that is not UTF-8 as a crash. The client is at fault, and its socket is closed (1007)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "Invalid UTF-8 sequence received from client."
