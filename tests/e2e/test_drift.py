"""Children are brought back to what is declared; what belongs to others is not touched; volumes are never pruned."""

import json
from typing import Any

import pytest
import yaml

from hack.demo.mesh import Mesh, condition, site_status
from hack.demo.waiting import wait_for
from tests.e2e.conftest import NewMesh

REPAIRED_SECONDS = 30


@pytest.mark.parametrize(
    ("kind", "name", "edit"),
    [
        ("service", "clinic-berlin-server", {"spec": {"selector": {"multiserver.dev/site": "hamburg"}}}),
        ("configmap", "clinic-berlin", {"data": {"pg_hba.conf": "host all all all trust\n"}}),
        ("cronjob", "clinic-berlin-backup-data", {"spec": {"suspend": True, "schedule": "0 0 1 1 *"}}),
        ("secret", "clinic-berlin-app", {"stringData": {"host": "elsewhere"}}),
        (
            "networkpolicy",
            "clinic-berlin",
            {"spec": {"podSelector": {"matchLabels": {"multiserver.dev/site": "none"}}}},
        ),
    ],
)
def test_a_child_edited_by_hand_is_repaired(mesh: Mesh, kind: str, name: str, edit: dict[str, Any]) -> None:
    declared = _declared(mesh, kind, name)
    mesh.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(edit)}")
    wait_for(
        f"{kind} {name} is as declared",
        lambda: _declared(mesh, kind, name),
        until=lambda present: present == declared,
        timeout_seconds=REPAIRED_SECONDS,
    )


@pytest.mark.parametrize(
    "child",
    [
        "service/clinic",
        "service/clinic-hamburg-server",
        "configmap/clinic-hamburg",
        "cronjob/clinic-hamburg-backup-files",
        "networkpolicy/clinic-hamburg",
        "poddisruptionbudget/clinic",
        "serviceaccount/clinic-hamburg",
        "secret/clinic-hamburg-app",
    ],
)
def test_a_child_deleted_by_hand_is_made_again(mesh: Mesh, child: str) -> None:
    before = _declared(mesh, *child.split("/"))
    mesh.kubectl("delete", child)
    mesh.kubectl("wait", child, "--for=create", f"--timeout={REPAIRED_SECONDS}s")
    assert _declared(mesh, *child.split("/")) == before


def test_what_others_add_to_a_child_stays(mesh: Mesh) -> None:
    mesh.kubectl("annotate", "service", "clinic-leipzig-server", "example.org/note=kept", "--overwrite")
    mesh.kubectl("delete", "configmap", "clinic-leipzig")
    mesh.kubectl("wait", "configmap/clinic-leipzig", "--for=create", f"--timeout={REPAIRED_SECONDS}s")
    service = json.loads(mesh.kubectl("get", "service", "clinic-leipzig-server", "-o", "json"))
    assert service["metadata"]["annotations"]["example.org/note"] == "kept"


def test_children_that_are_not_declared_any_more_go_but_never_volumes_or_secrets(mesh: Mesh) -> None:
    labels = {"multiserver.dev/cluster": mesh.name, "app.kubernetes.io/managed-by": "multiserver-operator"}
    former = {"name": "clinic-dresden", "labels": labels}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    children = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": former, "spec": claim},
        {"apiVersion": "v1", "kind": "Secret", "metadata": former},
        {"apiVersion": "v1", "kind": "Service", "metadata": former, "spec": {"ports": [{"port": 5432}]}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": former},
    ]
    mesh.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(children))
    for pruned in ("service/clinic-dresden", "configmap/clinic-dresden"):
        mesh.kubectl("wait", pruned, "--for=delete", f"--timeout={REPAIRED_SECONDS}s")
    mesh.wait_until_healthy()
    mesh.kubectl("delete", "pvc/clinic-dresden", "secret/clinic-dresden")


def test_an_object_of_someone_else_is_not_touched_and_the_condition_names_it(new_mesh: NewMesh) -> None:
    mesh = new_mesh("taken", "berlin", "hamburg")
    foreign = {"metadata": {"name": "clinic-hamburg-server"}, "spec": {"ports": [{"port": 80}]}}
    mesh.kubectl("create", "-f", "-", stdin=yaml.safe_dump({"apiVersion": "v1", "kind": "Service", **foreign}))
    before = mesh.kubectl("get", "service", "clinic-hamburg-server", "-o", "yaml")
    mesh.apply()
    status = mesh.wait_until(
        "the clash is told and the other site has its pod",
        lambda status: (
            condition(status, "Stalled").get("reason") == "ActionRefused"
            and site_status(status, "berlin")["state"] == "Ready"
        ),
    )
    message = condition(status, "Stalled")["message"]
    assert f"Service {mesh.namespace}/clinic-hamburg-server exists and was not made by this operator" in message
    assert mesh.kubectl("get", "service", "clinic-hamburg-server", "-o", "yaml") == before
    mesh.kubectl("delete", "service", "clinic-hamburg-server")
    mesh.wait_until_healthy()


def _declared(mesh: Mesh, kind: str, name: str) -> dict[str, Any]:
    """What the operator declares of a child: all but what the API server keeps in it."""
    item = json.loads(mesh.kubectl("get", kind, name, "-o", "json"))
    metadata = {key: item["metadata"].get(key) for key in ("labels", "annotations", "ownerReferences")}
    body = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    for assigned in ("clusterIP", "clusterIPs"):
        body.get("spec", {}).pop(assigned, None)
    return {**body, "metadata": metadata}
