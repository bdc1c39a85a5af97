"""Stopping PostgreSQL in order, without waiting for peers for long.

At a fast shutdown PostgreSQL 18 waits, without limit, until every receiver of a logical slot has confirmed all changes
(version 19 brings wal_sender_shutdown_timeout against that). A peer on a slow line with a backlog, or one whose apply
worker waits for a lock, would hold up every restart. And a walsender was seen that went round for five minutes although
its peer had confirmed all that it was sent; our guess is a last record that crosses a page and whose rest nobody writes
any more. None of the waiting is needed here, since what is not confirmed stays in the slot. So after a while the
walsenders are told to end.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

PEERS_SECONDS = 10
"""How long peers may take to confirm what was written last; one that is well takes less than a second."""

Run = Callable[[Sequence[str]], bool]
"""Runs a program to its end; tells whether it succeeded."""


class StopError(Exception):
    """The server still runs."""


def run_program(argv: Sequence[str]) -> bool:
    """Run a program to its end; tell whether it succeeded. What it prints goes where ours goes."""
    return subprocess.run(argv, check=False).returncode == 0


def stop_server(pgdata: Path, timeout_seconds: int, run: Run = run_program, peers_seconds: int = PEERS_SECONDS) -> str:
    """Stop the server of this data directory and give what was done, in words.

    Raises StopError if it still runs after `timeout_seconds`.
    """
    postmaster = _postmaster(pgdata)
    if postmaster is None:
        return "the server does not run"
    if run(_stop(pgdata, peers_seconds)):
        return "the server has stopped"
    ended = sum(_end(walsender) for walsender in _walsenders(postmaster))
    if run(_stop(pgdata, timeout_seconds - peers_seconds)):
        return f"the server has stopped, without waiting longer for {ended} peers to confirm all that was written"
    raise StopError(f"the server still runs after {timeout_seconds} s: it is killed, and recovers at its next start")


def _stop(pgdata: Path, seconds: int) -> list[str]:
    return ["pg_ctl", "stop", "--mode=fast", f"--pgdata={pgdata}", f"--timeout={seconds}"]


def _postmaster(pgdata: Path) -> int | None:
    """Give the process that PostgreSQL has noted as its first; None if there is none."""
    try:
        return int((pgdata / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _walsenders(postmaster: int) -> Iterator[int]:
    """Give the processes that send to peers: children of the first one, with that word in their title."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It has ended meanwhile.
            # The parent is the second field after the name, which is in brackets and may hold anything.
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == postmaster and b"walsender" in (process / "cmdline").read_bytes():
                yield int(process.name)


def _end(process: int) -> bool:
    """Tell a process to end, as if its session was terminated; gives whether it was still there."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        return True
    return False
