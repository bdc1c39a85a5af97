"""Programs that end well, badly, too late, or not at all."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from multiserver.backup.errors import ProgramError
from multiserver.backup.process import Programs

PROGRAMS = Programs()


async def test_the_output_is_given_and_each_line_is_heard() -> None:
    heard: list[str] = []
    output = await PROGRAMS.run(["sh", "-c", "echo one; echo two"], deadline_seconds=10, on_line=heard.append)
    assert output == "one\ntwo"
    assert heard == ["one", "two"]


async def test_a_failing_program_is_told_in_its_own_last_words() -> None:
    with pytest.raises(ProgramError, match=r"^sh .* ended with 3: no such repository$") as caught:
        await PROGRAMS.run(["sh", "-c", "echo no such repository >&2; exit 3"], deadline_seconds=10)
    assert caught.value.code == 3


async def test_a_missing_program_is_told() -> None:
    with pytest.raises(ProgramError, match="cannot start pgbackrest-of-nowhere: No such file"):
        await PROGRAMS.run(["pgbackrest-of-nowhere"], deadline_seconds=10)


async def test_the_deadline_ends_a_program_and_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    with pytest.raises(ProgramError, match=r"was ended after 0\.5 s without a result"):
        await PROGRAMS.run(["sh", "-c", f"sleep 60 & echo $! > {child}; wait"], deadline_seconds=0.5)
    assert is_gone(int(child.read_text()))


async def test_cancelling_ends_the_program() -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    run = PROGRAMS.run(
        ["sh", "-c", "echo $$; exec sleep 60"],
        deadline_seconds=60,
        on_line=lambda line: started.set_result(int(line)),
    )
    task = asyncio.create_task(run)
    process_id = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(process_id)


def is_gone(process_id: int) -> bool:
    """Tell whether a process ends within a moment; its parent may still have to notice."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False
