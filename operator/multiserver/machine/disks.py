"""Questions to disks, in threads of their own: a disk that hangs holds up no probe, no lookup of a name and no duty.

Each volume has one thread: one that hangs keeps no other from answering, and whoever asks it again learns so at once.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from multiserver.api.moments import moment

T = TypeVar("T")


class _Volume:
    """Asks one volume, one question after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._under_way: tuple[float, datetime] | None = None
        """By when the question that the thread is at has to be answered, on the monotonic clock; when it was asked."""

    async def ask(self, question: Callable[[], T], seconds: float) -> T:
        if (under_way := self._under_way) and time.monotonic() > under_way[0]:
            raise TimeoutError(f"no answer since {moment(under_way[1])}: look at the storage behind it")
        due, asked = time.monotonic() + seconds, datetime.now(UTC)

        def put() -> T:
            self._under_way = due, asked
            try:
                return question()
            finally:
                self._under_way = None

        return await asyncio.get_running_loop().run_in_executor(self._thread, put)


_VOLUMES: defaultdict[Path, _Volume] = defaultdict(_Volume)


async def ask_disk(volume: Path, question: Callable[[], T], seconds: float) -> T:
    """Give the answer of a question that may block, or raise what it raises; TimeoutError after so many seconds.

    A question that hangs keeps the volume's thread until the disk answers.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await _VOLUMES[volume].ask(question, seconds)
    except TimeoutError:
        if not deadline.expired():
            raise  # It is the disk's own answer, or an earlier question still hangs.
        raise TimeoutError(f"no answer within {seconds:g} s: look at the storage behind it") from None
