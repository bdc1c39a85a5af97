"""The operator is killed at random moments of first applies; every cluster still becomes as declared, and no more."""

import random

import pytest

from hack.demo import story
from hack.demo.mesh import Mesh, is_healthy
from tests.e2e.conftest import NewMesh
from tests.e2e.killable_operator import KillableOperator
from tests.e2e.leftovers import assert_nothing_left_over

KILLS_MIN = 20
AT_ONCE = (("berlin", "hamburg", "leipzig"), ("berlin", "hamburg"))
"""The clusters that are applied together, so that each kill meets both."""
SECONDS_MAX = 600


@pytest.fixture(scope="module")
def survivors(victim: KillableOperator, new_mesh: NewMesh) -> list[Mesh]:
    """Clusters whose first apply was interrupted again and again, until there were kills enough."""
    moments = random.Random(3)
    survived: list[Mesh] = []
    while victim.kills < KILLS_MIN:
        meshes = [new_mesh(f"kill-{len(survived) + number}", *sites) for number, sites in enumerate(AT_ONCE, 1)]
        with victim.under_fire(moments, KILLS_MIN - victim.kills):
            for mesh in meshes:
                mesh.apply()
            for mesh in meshes:
                mesh.wait_until_healthy(SECONDS_MAX)
        survived += meshes
    return survived


def test_every_cluster_becomes_ready(survivors: list[Mesh], victim: KillableOperator) -> None:
    assert victim.kills >= KILLS_MIN
    assert all(is_healthy(mesh.status()) for mesh in survivors)


def test_there_is_no_object_slot_or_subscription_that_is_not_declared(survivors: list[Mesh]) -> None:
    for mesh in survivors:
        assert_nothing_left_over(mesh)


def test_each_cluster_replicates(survivors: list[Mesh]) -> None:
    for mesh in survivors:
        story.show_rows(mesh.sites)
