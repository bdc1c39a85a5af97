"""A change that needs a restart goes one site at a time; one that does not restarts nothing."""

import json
from typing import Any

from hack.demo.mesh import Mesh, site_status
from tests.e2e.meshes import without_node
from tests.e2e.readiness import SERVERS, watched_readiness

RESTARTED_SECONDS = 240


def test_changed_resources_and_settings_restart_one_site_at_a_time(mesh: Mesh) -> None:
    with watched_readiness(mesh) as readiness:
        changed = {"resources": {"requests": {"memory": "160Mi"}}, "parameters": {"max_connections": "120"}}
        mesh.patch({"database": changed})
        mesh.wait_until_healthy(RESTARTED_SECONDS)
    assert readiness.restarts() == {site.pod: 1 for site in mesh.sites}
    assert readiness.away_at_once() == 1
    for site, pod in zip(mesh.sites, _pods(mesh), strict=True):
        postgres = next(item for item in pod["spec"]["containers"] if item["name"] == "postgres")
        assert postgres["resources"]["requests"]["memory"] == "160Mi"
        assert site.sql("show max_connections") == "120"


def test_no_site_is_restarted_while_another_one_is_away(mesh: Mesh) -> None:
    with watched_readiness(mesh) as readiness:
        with without_node(mesh, "leipzig"):
            mesh.wait_until("leipzig is away", lambda status: site_status(status, "leipzig").get("state") == "NotReady")
            for connections in ("130", "131"):
                mesh.patch({"database": {"parameters": {"max_connections": connections}}})
                mesh.wait_until("the change is seen and dealt with", bool)
        mesh.wait_until_healthy(RESTARTED_SECONDS)
    assert readiness.away_at_once() == 1
    assert [site.sql("show max_connections") for site in mesh.sites] == ["131"] * 3


def test_a_parameter_that_can_be_reloaded_restarts_nothing(mesh: Mesh) -> None:
    before = _uids(mesh)
    mesh.patch({"database": {"parameters": {"work_mem": "7MB"}}})
    mesh.wait_until("the change is seen and dealt with", bool)
    # The kubelet looks at a pod's ConfigMaps once a minute, and at once when the pod is changed.
    mesh.kubectl("annotate", "pods", "-l", SERVERS, "--overwrite", "example.org/look-again=now")
    for site in mesh.sites:
        site.await_sql("show work_mem", "7MB", timeout_seconds=120)
    mesh.wait_until_healthy()
    assert _uids(mesh) == before


def _pods(mesh: Mesh) -> list[dict[str, Any]]:
    """The sites' pods in the order of their names."""
    pods: list[dict[str, Any]] = json.loads(mesh.kubectl("get", "pods", "-l", SERVERS, "-o", "json"))["items"]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))


def _uids(mesh: Mesh) -> list[str]:
    return [pod["metadata"]["uid"] for pod in _pods(mesh)]
