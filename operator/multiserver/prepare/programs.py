"""Running PostgreSQL's programs while a volume is made ready."""

import re
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from multiserver.prepare.errors import PrepareError

Say = Callable[[str], None]
"""Is told how far a long step is, in words."""

LAST_LINES = 5
"""How many of a failed program's last lines its error repeats."""


class Run(Protocol):
    """Runs a program to its end and gives its output; raises PrepareError with the program's own last words."""

    def __call__(self, argv: Sequence[str], text: str = "", on_line: Callable[[str], None] = ...) -> str:
        """`text` is what the program reads; `on_line` is called with each line that it writes to its error output."""
        ...


def run_program(argv: Sequence[str], text: str = "", on_line: Callable[[str], None] = lambda line: None) -> str:
    """Run a program to its end, however long it takes: Kubernetes shows that the pod is still being prepared."""
    lines: deque[str] = deque(maxlen=LAST_LINES)
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
    except OSError as error:
        raise PrepareError(f"{argv[0]} does not run: {error}") from error
    with process:
        assert process.stdin and process.stdout and process.stderr
        # Small enough for the pipe's buffer, as all that our programs read and print is.
        process.stdin.write(text)
        process.stdin.close()
        for line in process.stderr:
            lines.append(line.strip())
            on_line(line.strip())
        output = process.stdout.read()
    if process.returncode != 0:
        raise PrepareError(f"{argv[0]} ended with {process.returncode}: {' / '.join(lines)}")
    return output


def program_major(run: Run) -> int:
    """Give the major version of this image's PostgreSQL."""
    printed = run(["postgres", "--version"])
    match = re.search(r"\(PostgreSQL\) (\d+)", printed)
    if match is None:
        raise PrepareError(f"the version of PostgreSQL is not understood: {printed.strip()}")
    return int(match[1])
