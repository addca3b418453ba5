"""Fire-and-forget asyncio tasks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_tasks: set[asyncio.Task[Any]] = set()  # the event loop itself holds only weak references


def run_in_background(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Start a task and hold a reference to it until it is done. asyncio logs its exception, if any."""
    task = asyncio.create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
