"""Locking seats in Redis, so that a crowd does not queue up in PostgreSQL."""

from seats.locks import TAKEN_MS as REJECTED_MS
from seats.locks import Hold as SeatLocks
from seats.locks import take as acquire_locks

__all__ = ["REJECTED_MS", "SeatLocks", "acquire_locks"]
