"""Runs synchronous code from asynchronous code."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Fewer threads than DATABASE_POOL_SIZE, so that none ever waits for a connection.
_executor = ThreadPoolExecutor(16, "sync")


async def run_in_thread(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Return `function(...)`, called in a thread that releases its database connection afterwards."""
    # Not asgiref's sync_to_async, which runs all calls in a single thread by default.
    call = partial(_call_and_release_connections, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_executor, call)


def _call_and_release_connections(function: Callable[[], Result]) -> Result:
    try:
        return function()
    finally:
        close_old_connections()
