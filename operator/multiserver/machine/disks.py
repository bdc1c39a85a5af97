"""Questions to disks, in threads of their own: a disk that hangs holds up no probe, no lookup of a name and no duty."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="disk")


async def ask_disk(question: Callable[[], T], seconds: float) -> T:
    """Give the answer of a question that may block, or raise what it raises; TimeoutError after so many seconds.

    A question that hangs keeps its thread until the disk answers.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await asyncio.get_running_loop().run_in_executor(_THREADS, question)
    except TimeoutError:
        if not deadline.expired():
            raise  # It is the disk's own answer.
        raise TimeoutError(f"no answer within {seconds:g} s: look at the storage behind it") from None
