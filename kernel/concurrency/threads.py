"""Runs synchronous code from asynchronous code."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

from kernel.concurrency.bulkhead import BulkheadFull
from kernel.errors import Unavailable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# Fewer threads than DATABASE_POOL_SIZE, so that none ever waits for a connection.
_executor = ThreadPoolExecutor(16, "sync")


async def run_in_thread(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Return `function(...)`, called in a thread that releases its database connection afterwards.

    Raises Unavailable if PostgreSQL is: each connection to `realtime` is told, and no traceback is logged.
    """
    # Not asgiref's sync_to_async, which runs all calls in a single thread by default.
    call = partial(_call_and_release_connections, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_executor, call)


def _call_and_release_connections(function: Callable[[], Result]) -> Result:
    try:
        return function()
    except (OperationalError, InterfaceError, BulkheadFull) as error:
        logger.warning("unavailable: %s: %s", type(error).__name__, error)
        raise Unavailable from error
    finally:
        close_old_connections()
