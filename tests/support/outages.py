"""Servers that are away, stand still, or refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from devtools.embedded import Servers


@contextmanager
def stopped(servers: Servers) -> Iterator[None]:
    """PostgreSQL is away."""
    servers.stop_postgres()
    try:
        yield
    finally:
        servers.start_postgres()


@contextmanager
def paused(servers: Servers) -> Iterator[None]:
    """PostgreSQL with all its processes, as a virtual machine or a disk that does not respond."""
    postmaster = psutil.Process(servers.postgres.pid())
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@contextmanager
def refusing(redis: Any, *refuse: tuple[str, ...], agree: tuple[str, ...]) -> Iterator[None]:
    """Redis after the commands `refuse`, until the command `agree`."""
    for command in refuse:
        redis.execute_command(*command)
    try:
        yield
    finally:
        redis.execute_command(*agree)
