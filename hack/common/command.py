"""Running other programs: quiet when they succeed, with their own words when they fail."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LAST_LINES = 30


class CommandFailed(Exception):
    """A program could not be started or ended with an error; the text holds the command and its last lines."""


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_seconds: float | None = None,
    shows_progress: bool = False,
) -> str:
    """Run a program to its end and return its stdout. `env` replaces the whole environment.

    With `shows_progress` its stderr is passed on as it comes, instead of being kept for the error.

    Raises CommandFailed if it is not there, does not end in time, or ends with anything but 0.
    """
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, input=stdin, timeout=timeout_seconds, text=True, check=False,
            stdout=subprocess.PIPE, stderr=None if shows_progress else subprocess.PIPE,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{shlex.join(argv)}` did not end in {error.timeout:.0f} s and was stopped") from error
    except OSError as error:
        raise CommandFailed(f"cannot start `{shlex.join(argv)}`: {error}") from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + (done.stderr or "")).splitlines()[-LAST_LINES:])
        raise CommandFailed(f"`{shlex.join(argv)}` ended with {done.returncode}:\n{last}")
    return done.stdout


def succeeds(argv: Sequence[str], *, timeout_seconds: float = 10) -> bool:
    """Tell whether a quick question to a program is answered with 0 in time; a missing program says no."""
    try:
        done = subprocess.run(argv, capture_output=True, check=False, timeout=timeout_seconds)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
