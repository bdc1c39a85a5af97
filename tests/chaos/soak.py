"""Run many histories, some side by side, and keep the result: `make soak HISTORIES=1000`, `make soak SEED=42 JOBS=4`.

Also what a failing history says to run: the same again (`--scenario`), or made small (`--shrink --scenario`).
"""

import argparse
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import rootfs
from tests.chaos.arena import hurry
from tests.chaos.checks import LOSSES, Finding
from tests.chaos.history import Stage, Verdict
from tests.chaos.pool import interrupt, side_by_side
from tests.chaos.sabotage import ALL as SABOTAGES
from tests.chaos.scenario import Scenario
from tests.chaos.shrink import shrink
from tests.postgres.mesh import make_engine_template
from tests.scratch import use_scratch_folder

RESULTS = rootfs.CHECKOUT / "docs" / "soak.md"
TRIES = 3
"""A scenario may fail only now and then, since clients run side by side: so often a smaller one is tried."""


@dataclass
class Summary:
    """What so many histories came to."""

    ran: list[int] = field(default_factory=list)
    """The seeds of the histories that were run to their end."""
    transactions: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    diverged: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    """Seeds by what was found; a history with findings is in one of the two or in both."""
    seconds: float = 0.0

    def add(self, verdict: Verdict) -> None:
        self.ran.append(verdict.scenario.seed)
        self.transactions += verdict.transactions
        self.faults += verdict.faults
        found = {finding.check for finding in verdict.findings}
        if found & LOSSES:
            self.lost.append(verdict.scenario.seed)
        if found - LOSSES:
            self.diverged.append(verdict.scenario.seed)

    def row(self, now: datetime) -> str:
        """Return the line for the table in docs/soak.md."""
        faults = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in sorted(self.faults.items()))
        told = self.transactions
        cells = (
            f"{now:%Y-%m-%d}",
            f"{len(self.ran)}",
            ranges(self.ran),
            f"{told['acknowledged']} kept, {told['refused']} refused, {told['unknown']} unknown",
            f"{self.faults.total()}: {faults}",
            seeds(self.diverged),
            seeds(self.lost),
            f"{self.seconds / 60:.0f} min",
        )
        return f"| {' | '.join(cells)} |\n"


def seeds(failed: Sequence[int]) -> str:
    return f"{len(failed)} (seeds {ranges(failed)})" if failed else "0"


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers in words: 1 to 4, 6, 8 to 9."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join(" to ".join(map(str, ends)) for ends in found)


@contextmanager
def new_stage() -> Iterator[Stage]:
    """A stage in a folder that is gone at the end."""
    with TemporaryDirectory(prefix="multiserver-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        programs = rootfs.ensure()
        template = make_engine_template(programs, folder / "template")
        hurry(template)
        yield Stage(programs, template, folder)


def soak(stage: Stage, chosen: range, jobs: int) -> Summary:
    """Run the histories of the chosen seeds; stop in order when interrupted."""
    summary, started = Summary(), time.monotonic()
    try:
        for verdict in side_by_side(lambda seed: judge(stage, seed), chosen, jobs):
            summary.add(verdict)
            print(f"{time.strftime('%H:%M:%S')} {verdict}", flush=True)
    except KeyboardInterrupt:
        left = sorted(set(chosen) - set(summary.ran))
        print(f"interrupted; not run: seeds {ranges(left)}", flush=True)
    summary.seconds = time.monotonic() - started
    return summary


def judge(stage: Stage, seed: int) -> Verdict:
    """Run the history of a seed; one that cannot be run to its end is a finding, too."""
    scenario, started = Scenario.draw(seed), time.monotonic()
    try:
        return stage.run(scenario)
    except Exception:  # noqa: BLE001 - whatever it is, the other histories go on
        finding = Finding("it_comes_to_its_end", traceback.format_exc())
        return Verdict(scenario, [finding], Counter(), Counter(), time.monotonic() - started)


def make_small(stage: Stage, scenario: Scenario) -> Scenario:
    """Return the smallest failing scenario that was found."""

    def fails(candidate: Scenario) -> bool:
        failed = any(stage.run(candidate).findings for _ in range(TRIES))
        print(f"{'fails' if failed else 'well '}  {candidate}", flush=True)
        return failed

    return shrink(scenario, fails)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos.soak", description=__doc__)
    parser.add_argument("--histories", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many side by side")
    parser.add_argument("--scenario", type=Scenario.read, help="run this one only, as a failing history printed it")
    parser.add_argument("--shrink", action="store_true", help="make the scenario small")
    parser.add_argument("--sabotage", choices=SABOTAGES, help="break the engine first")
    chosen = parser.parse_args(arguments)
    use_scratch_folder()
    signal.signal(signal.SIGTERM, interrupt)  # so that the servers are removed then, too
    with new_stage() as stage:
        if chosen.sabotage:
            stage = stage.sabotaged(SABOTAGES[chosen.sabotage])
        if chosen.scenario:
            scenario = make_small(stage, chosen.scenario) if chosen.shrink else chosen.scenario
            verdict = stage.run(scenario)
            print(verdict)
            return bool(verdict.findings)
        summary = soak(stage, range(chosen.seed, chosen.seed + chosen.histories), chosen.jobs)
    if summary.ran and not chosen.sabotage:
        with RESULTS.open("a") as results:
            results.write(summary.row(datetime.now(UTC)))
    return bool(summary.diverged or summary.lost)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
