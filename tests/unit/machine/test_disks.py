"""Questions to volumes, of which one hangs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multiserver.machine.disks import ask_disk

HANGS_SECONDS_MAX = 10
"""If a question waited for the volume that hangs, the test would end only then."""

Hang = Callable[[], bool]


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """When set, the volume that hangs answers again."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def hang(over: threading.Event) -> Hang:
    return lambda: over.wait(HANGS_SECONDS_MAX)


async def test_a_volume_that_hangs_keeps_no_other_from_answering(tmp_path: Path, hang: Hang) -> None:
    for _ in range(8):
        with pytest.raises(TimeoutError):
            await ask_disk(tmp_path / "hanging", hang, 0.05)
    assert await ask_disk(tmp_path / "well", lambda: "well", 5) == "well"


async def test_who_asks_a_volume_that_hangs_learns_at_once_since_when(tmp_path: Path, hang: Hang) -> None:
    with pytest.raises(TimeoutError, match=r"^no answer within 0\.5 s: look at the storage behind it$"):
        await ask_disk(tmp_path, hang, 0.5)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError, match=r"^no answer since \d{4}-.* UTC: look at the storage behind it$"):
            await ask_disk(tmp_path, lambda: "late", 3600)


async def test_that_holds_too_if_nobody_waited_for_the_earlier_answer_to_the_end(tmp_path: Path, hang: Hang) -> None:
    began = threading.Event()
    earlier = asyncio.create_task(ask_disk(tmp_path, lambda: began.set() or hang(), 0.05))
    assert await asyncio.to_thread(began.wait, 5)
    earlier.cancel()
    async with asyncio.timeout(5):
        while "no answer since" not in await refusal(tmp_path):
            pass


async def refusal(volume: Path) -> str:
    """Ask a volume that hangs, and give the error."""
    with pytest.raises(TimeoutError) as caught:
        await ask_disk(volume, lambda: "late", 0.05)
    return str(caught.value)


async def test_a_volume_that_answers_again_can_be_asked_again(
    tmp_path: Path, hang: Hang, over: threading.Event
) -> None:
    with pytest.raises(TimeoutError):
        await ask_disk(tmp_path, hang, 0.05)
    over.set()

    async def answer() -> str:
        while True:
            try:
                return await ask_disk(tmp_path, lambda: "well", 5)
            except TimeoutError:
                await asyncio.sleep(0)

    assert await asyncio.wait_for(answer(), 5) == "well"


async def test_a_question_waits_for_an_earlier_one_that_has_time_left(
    tmp_path: Path, hang: Hang, over: threading.Event
) -> None:
    earlier = asyncio.create_task(ask_disk(tmp_path, hang, 5))
    later = asyncio.create_task(ask_disk(tmp_path, lambda: "well", 5))
    await asyncio.sleep(0)
    over.set()
    assert (await earlier, await later) == (True, "well")
