"""Running the backup programs: a deadline on each, their lines as they come, and nothing left behind."""

import asyncio
import os
import shlex
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from multiserver.backup.errors import ProgramError

LINE_BYTES_MAX = 16 * 1024 * 1024
"""The longest line that is understood; restic lists all snapshots in one."""
LINES_MAX = 10_000
"""How many of the last lines are kept."""
END_SECONDS = 10.0
"""How long a program may take to end after it was asked to."""

Wrap = Callable[[Sequence[str]], list[str]]
Listener = Callable[[str], None]


@dataclass(frozen=True)
class Programs:
    """How programs are started. `wrap` changes a command line, for tests that have the programs elsewhere."""

    wrap: Wrap = list
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set besides the environment of this process. Secrets do not belong here."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        deadline_seconds: float,
        on_line: Listener = lambda line: None,
        pass_fds: Sequence[int] = (),
    ) -> str:
        """Run a program to its end and give its standard output; `on_line` gets each line of it as it comes.

        When the deadline passes or the caller is cancelled, the program and its children are ended first. Raises
        ProgramError, also for any exit code but 0.
        """
        process = await self._start(argv, pass_fds)
        output: deque[str] = deque(maxlen=LINES_MAX)
        errors: deque[str] = deque(maxlen=LINES_MAX)
        try:
            async with asyncio.timeout(deadline_seconds):
                await _read(process, output, errors, on_line)
                code = await process.wait()
        except TimeoutError as error:
            message = f"{_what(argv)} was ended after {deadline_seconds:g} s without a result"
            raise ProgramError(message, None, [*output, *errors]) from error
        finally:
            await _end(process)
        if code != 0:
            raise ProgramError(
                f"{_what(argv)} ended with {code}: {_last_words(output, errors)}", code, [*output, *errors]
            )
        return "\n".join(output)

    async def _start(self, argv: Sequence[str], pass_fds: Sequence[int]) -> asyncio.subprocess.Process:
        """Start a program in a session of its own, so that it can be ended with its children."""
        try:
            return await asyncio.create_subprocess_exec(
                *self.wrap(argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **self.environment},
                limit=LINE_BYTES_MAX,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError(f"cannot start {argv[0]}: {error.strerror}") from error


async def _read(process: asyncio.subprocess.Process, output: deque[str], errors: deque[str], on_line: Listener) -> None:
    """Read both streams to their end."""
    assert process.stdout, "standard output is a pipe"
    assert process.stderr, "standard error is a pipe"
    async with asyncio.TaskGroup() as group:
        group.create_task(_lines(process.stdout, output, on_line))
        group.create_task(_lines(process.stderr, errors, lambda line: None))


async def _lines(stream: asyncio.StreamReader, lines: deque[str], on_line: Listener) -> None:
    async for raw in stream:
        line = raw.decode(errors="replace").rstrip("\n")
        lines.append(line)
        on_line(line)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what is left of the program's session: first asked, then forced."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        _signal(process, signal_number)
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            continue


def _signal(process: asyncio.subprocess.Process, signal_number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, signal_number)
    except ProcessLookupError:
        return


def _what(argv: Sequence[str]) -> str:
    """Name the command without its options."""
    return shlex.join([argv[0], *[word for word in argv[1:] if not word.startswith("-")][:1]])


def _last_words(output: Sequence[str], errors: Sequence[str]) -> str:
    """Give the last thing that the program said: its last error, else its last line."""
    said = [line.strip() for line in [*output, *errors] if line.strip()]
    return said[-1] if said else "it said nothing"
