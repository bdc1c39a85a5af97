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
        self._open: list[tuple[float, datetime]] = []
        """Questions without an answer: by when it was due, on the monotonic clock, and when it was asked."""

    async def ask(self, question: Callable[[], T], due: float) -> T:
        for earlier, asked in tuple(self._open):
            if time.monotonic() >= earlier:
                raise TimeoutError(f"no answer since {moment(asked)}: look at the storage behind it")
        entry = due, datetime.now(UTC)
        self._open.append(entry)
        answer = self._thread.submit(question)
        answer.add_done_callback(lambda _: self._open.remove(entry))  # Also if it is given up before it begins.
        return await asyncio.wrap_future(answer)


_VOLUMES: defaultdict[Path, _Volume] = defaultdict(_Volume)


async def ask_disk(volume: Path, question: Callable[[], T], seconds: float) -> T:
    """Give the answer of a question that may block, or raise what it raises; TimeoutError after so many seconds.

    A question that hangs keeps the volume's thread until the disk answers.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await _VOLUMES[volume].ask(question, deadline.when() or 0)
    except TimeoutError:
        if not deadline.expired():
            raise  # It is the disk's own answer, or an earlier question still hangs.
        raise TimeoutError(f"no answer within {seconds:g} s: look at the storage behind it") from None
