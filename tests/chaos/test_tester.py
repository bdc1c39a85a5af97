"""The tester finds what it is made for: replication that is known not to converge, and an engine that was broken."""

import pytest

from tests.chaos import sabotage
from tests.chaos.history import Stage, Verdict
from tests.chaos.scenario import Scenario

SEEDS = range(1, 9)
STUCK = {"clients_met_no_surprise", "everything_came"}
"""A history in which a link or a client is stuck does not show yet that the sites end unequal."""


def first_found(stage: Stage, **numbers: int) -> Verdict:
    """Return the first history that ends wrong; an assertion fails if none does within a few seeds."""
    verdicts = []
    for seed in SEEDS:
        verdicts.append(stage.run(Scenario(seed, **numbers)))
        if not checks(verdicts[-1]) <= STUCK:
            return verdicts[-1]
    raise AssertionError("\n".join(str(verdict) for verdict in verdicts))


def checks(verdict: Verdict) -> set[str]:
    return {finding.check for finding in verdict.findings}


def test_native_replication_is_found_to_diverge(native_stage: Stage) -> None:
    verdict = first_found(native_stage, keys=6, partings=2)
    assert "tables_are_equal" in checks(verdict), verdict


@pytest.mark.parametrize("what", sabotage.ALL)
def test_a_broken_engine_is_found(stage: Stage, what: str) -> None:
    broken = stage.sabotaged(sabotage.ALL[what])
    faults = {"partings": 6, "isolations": 3, "skews": 3, "collections": 3} | sabotage.FAULTS_NEEDED.get(what, {})
    assert first_found(broken, keys=6, transactions=30, **faults).findings
