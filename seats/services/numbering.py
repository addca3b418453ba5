"""Reservation numbers: TK, the time in milliseconds, five random characters."""

import secrets
import string
import time

_ALPHABET = string.ascii_uppercase + string.digits


def new_reservation_number() -> str:
    return f"TK{time.time_ns() // 1_000_000}{''.join(secrets.choice(_ALPHABET) for _ in range(5))}"
