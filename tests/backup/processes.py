"""Killing a backup as a crash does."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from tests.sites import SiteTree

LOOKS_MAX = 3000
PAUSE_SECONDS = 0.01


def processes(program: str, tree: SiteTree) -> list[int]:
    """Give the process ids of a program that works on this very tree."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if words and words[0].decode() == program and str(tree.paths.root).encode() in b" ".join(words):
                found.append(int(folder.name))
    return found


async def kill_when(there: Path, program: str, tree: SiteTree) -> None:
    """Kill all processes of the program as soon as a file of that name is there, and while it is."""

    def is_there() -> bool:
        return any(there.parent.glob(there.name))

    for _ in range(LOOKS_MAX):
        if is_there() and (running := processes(program, tree)):
            send(signal.SIGSTOP, running)  # the file may be an earlier process's, which has just removed it
            if is_there():
                send(signal.SIGKILL, running)
                return
            send(signal.SIGCONT, running)
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError(f"{program} never made {there}")


def send(what: signal.Signals, process_ids: list[int]) -> None:
    """Signal those that are still there."""
    for process_id in process_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, what)
