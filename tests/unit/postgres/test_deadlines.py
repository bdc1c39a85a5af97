import asyncio
import time

import pytest

from multiserver.postgres.deadlines import within


async def stubborn() -> None:
    """Work that takes its time to end when it is cancelled, like a query over a line that swallows packets."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(2)
        raise


async def test_the_result_is_given() -> None:
    async def answer() -> int:
        return 42

    assert await within(5, answer()) == 42


async def test_an_error_is_passed_on() -> None:
    async def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await within(5, fail())


async def test_the_deadline_holds_for_work_that_does_not_end_when_cancelled() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        await within(0.05, stubborn())
    assert time.monotonic() - started < 1


async def test_cancelling_the_waiter_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    waiter = asyncio.create_task(within(60, work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await asyncio.wait_for(cancelled.wait(), 5)
