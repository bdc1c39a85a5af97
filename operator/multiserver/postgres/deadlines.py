"""A deadline that holds even if the work that it ends takes its time to end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_ending: set[asyncio.Task[Any]] = set()
"""Work that was told to stop and has not yet; kept here so that it is not collected half-way."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Give the result of `work`, or raise TimeoutError after `seconds`.

    Unlike asyncio.timeout this does not wait for the cancelled work: psycopg first asks the server to cancel the query,
    and over a line that swallows packets that alone takes seconds.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _stop(task)
        raise
    if not done:
        _stop(task)
        raise TimeoutError(f"no answer within {seconds:g} s")
    return task.result()


async def all_ended(seconds: float) -> None:
    """Wait until all work that was told to stop has ended, so long at the most."""
    if _ending:
        await asyncio.wait(_ending, timeout=seconds)


def _stop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _ending.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    _ending.discard(task)
    if not task.cancelled():
        task.exception()  # Fetched, so that asyncio does not log an error that no one waits for any more.
