"""Make a failing scenario small: fewer sites, clients, transactions and faults, as long as it still fails. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.chaos.scenario import FAULTS, Scenario

LEAST = {"sites": 2, "clients": 1, "transactions": 1} | dict.fromkeys(FAULTS, 0)


def smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Return scenarios that are smaller in one number each: the boldest step of each number first."""
    for name, least in LEAST.items():
        present = getattr(scenario, name)
        steps = (least, (present + least) // 2, present - 1)
        yield from (replace(scenario, **{name: step}) for step in dict.fromkeys(steps) if least <= step < present)


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], runs: int = 60) -> Scenario:
    """Return the smallest failing scenario that so many runs find, beginning with one that fails."""
    candidates = smaller(scenario)
    for _ in range(runs):
        candidate = next(candidates, None)
        if candidate is None:
            break
        if fails(candidate):
            scenario, candidates = candidate, smaller(candidate)
    return scenario
