"""What is not worth a line in the log."""

import logging


class FaultsOfClients(logging.Filter):
    """uvicorn logs a text frame that is not UTF-8 as a crash. The client is at fault, and its socket is closed (1007)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "Invalid UTF-8 sequence received from client."
