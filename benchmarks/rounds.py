"""Rounds: every system is measured in each, in an order that turns, until the time is used up."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.measures import MEASUREMENTS, Effort
from benchmarks.results import Results, Sample
from benchmarks.systems import System
from hack.common.progress import say


@dataclass
class Deadline:
    """A limit to begin things, not to break them off."""

    seconds: float
    begun: float = field(default_factory=time.monotonic)

    def allows(self, expected_seconds: float) -> bool:
        """Whether something that takes so long would end in time."""
        return time.monotonic() - self.begun + expected_seconds <= self.seconds


def run_rounds(
    systems: Sequence[System], effort: Effort, results: Results, deadline: Deadline, most: int, only: Sequence[str] = ()
) -> int:
    """Do one round, and more while there is time for another as long as the longest so far; return how many."""
    longest = 0.0
    for number in range(1, most + 1):
        if number > 1 and not deadline.allows(longest):
            say(f"the time is used up after {number - 1} rounds")
            return number - 1
        begun = time.monotonic()
        _round(systems, effort, results, number, only or tuple(MEASUREMENTS))
        longest = max(longest, time.monotonic() - begun)
    return most


def _round(systems: Sequence[System], effort: Effort, results: Results, number: int, keys: Sequence[str]) -> None:
    for turn, key in enumerate(keys, start=number):
        first = turn % len(systems)
        for system in (*systems[first:], *systems[:first]):
            with system.at_work():
                figures = MEASUREMENTS[key](system, effort)
            results.samples += [Sample(name, system.name, number, value) for name, value in figures.items()]
            said = ", ".join(f"{name.partition('.')[2]} {value:,.4g}" for name, value in figures.items())
            say(f"round {number} {key:8} {system.name:10} {said}")
