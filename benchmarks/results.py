"""Samples, what they amount to, and their file."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.catalogue import NATIVE


@dataclass(frozen=True)
class Sample:
    """One figure of one system in one round, in the unit of its measure.

    `size` tells apart what is measured at several sizes: gigabytes of a join, sites of a mesh; otherwise 0.
    """

    measure: str
    system: str
    round: int
    value: float
    size: int = 0


@dataclass(frozen=True)
class Spread:
    """The median of several figures, with the least and the greatest."""

    median: float
    least: float
    greatest: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Return what the values amount to; None if there are none."""
        known = sorted(values)
        if not known:
            return None
        return cls(median(known), known[0], known[-1], len(known))


@dataclass
class Results:
    """All samples of a run, and under which circumstances they were taken."""

    circumstances: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)

    def values(self, measure: str, system: str, size: int = 0) -> dict[int, float]:
        """Return the figures of a system by round."""
        return {
            sample.round: sample.value
            for sample in self.samples
            if (sample.measure, sample.system, sample.size) == (measure, system, size)
        }

    def spread(self, measure: str, system: str, size: int = 0) -> Spread | None:
        """Return what a system reached."""
        return Spread.of(self.values(measure, system, size).values())

    def ratio(self, measure: str, system: str, size: int = 0, baseline: str = NATIVE) -> Spread | None:
        """Return the system's ratio to the baseline: each round's own ratio, so that slow rounds cancel out."""
        reference = self.values(measure, baseline, size)
        mine = self.values(measure, system, size)
        return Spread.of(mine[number] / reference[number] for number in mine if reference.get(number))

    def sizes(self, measure: str) -> list[int]:
        """Return the sizes at which a measure was taken."""
        return sorted({sample.size for sample in self.samples if sample.measure == measure})

    def write(self, path: Path) -> None:
        """Write the whole as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"circumstances": self.circumstances, "samples": [asdict(sample) for sample in self.samples]}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Read what `write` wrote."""
        whole = json.loads(path.read_text())
        return cls(whole["circumstances"], [Sample(**sample) for sample in whole["samples"]])
