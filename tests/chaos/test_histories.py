"""Random histories end equal everywhere, and nothing that was acknowledged is lost."""

import pytest

from tests.chaos.history import Stage
from tests.chaos.scenario import Scenario


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_history_ends_well(stage: Stage, seed: int) -> None:
    verdict = stage.run(Scenario.draw(seed))
    assert not verdict.findings, str(verdict)
