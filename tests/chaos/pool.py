"""Work done side by side: so many processes, each with one piece at a time; results come in the order of arrival."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")

FORK = multiprocessing.get_context("fork")
"""So that a worker has all that was prepared, also what cannot be sent to it."""


def side_by_side(work: Callable[[Piece], Result], pieces: Iterable[Piece], jobs: int) -> Iterator[Result]:
    """Yield what `work` gives for each piece.

    Whoever stops listening, by an interrupt or a `close`, ends the workers: what was under way is interrupted there, by
    a KeyboardInterrupt so that it cleans up, and gives no result.
    """
    left = iter(pieces)
    with workers(work, jobs) as idle:
        busy: set[Connection[Any, Any]] = set()
        while True:
            for line in tuple(idle):
                try:
                    line.send(next(left))
                except StopIteration:
                    break
                idle.remove(line)
                busy.add(line)
            if not busy:
                return
            for line in wait(list(busy)):
                assert isinstance(line, Connection)
                result = line.recv()
                busy.remove(line)
                idle.append(line)
                yield result


@contextmanager
def workers(work: Callable[[Any], Any], jobs: int) -> Iterator[list["Connection[Any, Any]"]]:
    """Give a line to each of so many new processes; all of them have ended at the end."""
    started: list[BaseProcess] = []
    lines = []
    try:
        for _ in range(jobs):
            here, there = FORK.Pipe()
            process = FORK.Process(target=serve, args=[work, there])
            process.start()
            there.close()
            started.append(process)
            lines.append(here)
        yield lines.copy()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join()


def serve(work: Callable[[Any], Any], line: "Connection[Any, Any]") -> None:
    """Be a worker until told to stop: by the parent alone, for a terminal's interrupt reaches all of us at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        while True:
            line.send(work(line.recv()))
    except (KeyboardInterrupt, EOFError):
        return


def interrupt(number: int, _frame: object) -> None:
    """Handle a signal like a person's interrupt, once: nothing may break off the cleaning up."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
