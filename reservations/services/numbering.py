"""Reservation numbers: TK, the time in milliseconds, five random characters."""

import secrets
import string
import time

_ALPHABET = string.ascii_uppercase + string.digits


def new_reservation_number() -> str:
    suffix = secrets.randbelow(len(_ALPHABET) ** 5)
    letters = [_ALPHABET[suffix // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(5)]
    return f"TK{time.time_ns() // 1_000_000}{''.join(letters)}"
