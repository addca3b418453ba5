"""Synchronous code called from asynchronous code."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Fewer than DATABASE_POOL_SIZE: a thread never waits for a connection.
_threads = ThreadPoolExecutor(16, "sync")


async def in_thread(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """`function(...)` in a thread that gives its database connection back. Not asgiref's: that has one thread for all."""
    call = partial(_call, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def _call(function: Callable[[], Result]) -> Result:
    try:
        return function()
    finally:
        close_old_connections()
