"""Questions to the repository's volume, which may be slow or hang: nothing else waits with them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from multiserver.backup.errors import BackupError
from multiserver.machine.disks import ask_disk

T = TypeVar("T")

ANSWER_SECONDS = 60.0
"""A volume that takes longer for one small question has a fault."""


async def ask_repository(volume: Path, question: Callable[[], T]) -> T:
    """Give the answer of a question that may block. Raises BackupError if none comes in time."""
    try:
        return await ask_disk(volume, question, ANSWER_SECONDS)
    except TimeoutError as error:
        raise BackupError(f"the repository's volume gives {error}") from None
