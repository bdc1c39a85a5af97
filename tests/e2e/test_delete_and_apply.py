"""The resource is deleted and applied again: everything is where it was. Volumes go only if the resource says so."""

import json

import pytest

from hack.demo.mesh import Mesh
from hack.demo.waiting import wait_for
from tests.e2e.conftest import NewMesh

GONE_SECONDS = 60


@pytest.fixture(scope="module")
def branch(new_mesh: NewMesh) -> Mesh:
    """A cluster of this file's own, with a row and a file at both sites."""
    mesh = new_mesh("branch", "berlin", "hamburg")
    mesh.apply()
    mesh.wait_until_healthy()
    mesh.sites[0].sql("create table invoice (id bigserial primary key); insert into invoice default values")
    checksum = mesh.sites[0].drop_file("documents", "invoice.txt", "number one")
    mesh.sites[1].await_sql("select count(*) from invoice", "1")
    mesh.sites[1].await_file("documents", "invoice.txt", checksum)
    return mesh


def test_deleting_keeps_volumes_and_keys_and_applying_again_brings_all_back(branch: Mesh) -> None:
    volumes, secrets = _uids(branch, "pvc"), _uids(branch, "secret")
    system_ids = _system_ids(branch)
    checksum = branch.sites[0].checksum("documents", "invoice.txt")
    assert len(volumes) == 6

    branch.kubectl("delete", "msc", branch.name)
    _await_gone(branch, "statefulset,service,configmap,cronjob,networkpolicy,poddisruptionbudget,serviceaccount,pod")
    assert _uids(branch, "pvc") == volumes
    assert _uids(branch, "secret") == secrets

    branch.apply()
    branch.wait_until_healthy()
    assert _uids(branch, "pvc") == volumes
    assert _uids(branch, "secret") == secrets
    assert _system_ids(branch) == system_ids
    branch.sites[1].sql("insert into invoice default values")
    for site in branch.sites:
        site.await_sql("select count(*) from invoice", "2")
        site.await_file("documents", "invoice.txt", checksum)


def test_with_deletion_policy_delete_volumes_and_keys_go_too(branch: Mesh) -> None:
    branch.patch({"deletionPolicy": "Delete"})
    branch.wait_until_healthy()
    branch.kubectl("delete", "msc", branch.name)
    _await_gone(branch, "pvc,secret,statefulset,service,configmap,cronjob,pod")


def _system_ids(mesh: Mesh) -> list[str]:
    return [site["systemId"] for site in mesh.status()["sites"]]


def _uids(mesh: Mesh, kinds: str) -> dict[str, str]:
    """What exists with the cluster's label."""
    listed = json.loads(mesh.kubectl("get", kinds, "-l", f"multiserver.dev/cluster={mesh.name}", "-o", "json"))
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in listed["items"]}


def _await_gone(mesh: Mesh, kinds: str) -> None:
    wait_for(f"no {kinds}", lambda: _uids(mesh, kinds), until=lambda left: not left, timeout_seconds=GONE_SECONDS)
