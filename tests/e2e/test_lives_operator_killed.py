"""The operator is killed at random moments of what happens in a site's life: each life ends as if nothing had been.

`make test` runs a short form. `make kills KILLS=100` goes round through all lives until there were so many kills, and
prints a table; another SEED gives other moments and sites.
"""

import os
import random
from collections.abc import Iterator
from itertools import cycle, takewhile

import pytest

from hack.demo.mesh import Mesh
from tests.e2e.conftest import NewMesh
from tests.e2e.killable_operator import KillableOperator
from tests.e2e.lives import END_SECONDS, TWO, Lives
from tests.e2e.writers import make_table

KILLS = int(os.environ.get("KILLS", "0"))
"""How many kills the long form asks for; 0 for the short one."""
SEED = int(os.environ.get("SEED", "1"))
SHORT = ("join", "restored snapshot", "leave")
KILLS_PER_LIFE_MAX = 20 if KILLS else 4
"""After so many the operator is left in peace, so that the life can end."""


@pytest.fixture(scope="module")
def two(victim: KillableOperator, new_mesh: NewMesh) -> Mesh:
    mesh = new_mesh("fire", *TWO)
    mesh.apply()
    mesh.wait_until_healthy(END_SECONDS)
    make_table(mesh)
    return mesh


def test_each_life_ends_well_although_the_operator_is_killed(two: Mesh, victim: KillableOperator) -> None:
    lives = Lives(victim, two, random.Random(SEED), KILLS_PER_LIFE_MAX)
    try:
        for life in _endless(lives, victim) if KILLS else SHORT:
            lives.lead(life)
    finally:
        print(f"\nseed {SEED}\n{lives.tell()}")
    assert victim.kills >= KILLS


def _endless(lives: Lives, victim: KillableOperator) -> Iterator[str]:
    """Go round through all lives until there were kills enough."""
    return takewhile(lambda _: victim.kills < KILLS, cycle(lives.all))
