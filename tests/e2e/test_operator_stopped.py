"""The operator is not needed for the sites' work."""

import json
from collections.abc import Iterator

import pytest

from hack.demo import story
from hack.demo.mesh import Mesh
from tests.e2e.operator_pod import Operator


@pytest.fixture
def without_operator(mesh: Mesh, operator: Operator) -> Iterator[Mesh]:
    operator.stop()
    yield mesh
    operator.start()


def test_without_an_operator_sites_go_on_replicating_rows_and_files(without_operator: Mesh) -> None:
    sites = without_operator.sites
    story.show_rows(sites)
    checksum = sites[1].drop_file("documents", "without-operator.txt", "nobody watches")
    for site in sites:
        site.await_file("documents", "without-operator.txt", checksum)


def test_without_an_operator_a_lost_pod_comes_back_and_hears_its_peers(without_operator: Mesh) -> None:
    berlin, _, leipzig = without_operator.sites
    without_operator.kubectl("delete", "pod", leipzig.pod)
    without_operator.kubectl("wait", f"pod/{leipzig.pod}", "--for=create", "--timeout=60s")
    without_operator.kubectl("wait", f"pod/{leipzig.pod}", "--for=condition=Ready", "--timeout=120s")
    story.show_rows((berlin, leipzig))


def test_without_an_operator_backups_are_made(without_operator: Mesh) -> None:
    assert "succeeded" in without_operator.sites[0].back_up("data")
    jobs = json.loads(without_operator.kubectl("get", "cronjobs", "-o", "json"))["items"]
    assert len(jobs) == 2 * len(without_operator.sites)
