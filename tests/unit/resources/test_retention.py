"""Volumes and Secrets that outlive the resource: only their owner follows `deletionPolicy`."""

from typing import Any

import pytest

from multiserver.api.names import MANAGER
from multiserver.identity.certificates import KeyPair
from multiserver.resources.retention import is_followed, retention
from multiserver.resources.secrets import site_identity
from tests.clusters import UID, a_cluster

KEEPS, DELETES = a_cluster(), a_cluster(deletionPolicy="Delete")
KEYS = KeyPair("certificate", "key")


def claim(*owners: str) -> dict[str, Any]:
    """A volume of a site that has left, as the API server gives it: the class and the volume are not from us."""
    fields = {
        "f:metadata": {"f:labels": {}, "f:annotations": {"f:multiserver.dev/opened": {}, "f:multiserver.dev/gone": {}}},
        "f:spec": {"f:accessModes": {}, "f:resources": {"f:requests": {"f:storage": {}}}},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "lab-bonn-data",
            "uid": "of the claim",
            "labels": LABELS,
            "annotations": {"multiserver.dev/opened": "true", "of.another/controller": "yes"},
            "ownerReferences": [
                {"apiVersion": "multiserver.dev/v1alpha1", "kind": "MultiServerCluster", "name": "lab", "uid": uid}
                for uid in owners
            ],
            "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:volumeName": {}}}},
                {"manager": MANAGER, "operation": "Update", "fieldsV1": {"f:spec": {"f:volumeName": {}}}},
                {"manager": MANAGER, "operation": "Apply", "fieldsV1": fields},
            ],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "20Gi"}},
            "storageClassName": "standard",
            "volumeName": "pvc-7",
        },
        "status": {"phase": "Bound"},
    }


LABELS = {
    "app.kubernetes.io/name": "multiserver",
    "app.kubernetes.io/managed-by": MANAGER,
    "app.kubernetes.io/component": "data",
    "multiserver.dev/cluster": "lab",
    "multiserver.dev/site": "bonn",
}


def test_a_secret_that_was_created_once_changes_its_owner_and_never_its_data():
    live = site_identity(a_cluster(), "berlin", 7, KEYS, KEYS)
    live["metadata"]["uid"] = UID
    applied = retention(DELETES, live)
    assert applied["metadata"]["ownerReferences"][0]["name"] == "lab"
    assert applied["metadata"]["uid"] == UID
    assert applied["metadata"]["labels"] == live["metadata"]["labels"]
    assert set(applied) == {"apiVersion", "kind", "metadata"}
    assert "ownerReferences" not in retention(KEEPS, live)["metadata"]


def test_of_a_volume_exactly_what_was_applied_is_applied_again():
    applied = retention(DELETES, claim())
    assert applied["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}
    assert applied["metadata"]["annotations"] == {"multiserver.dev/opened": "true"}
    assert applied["metadata"]["labels"] == LABELS
    assert applied["metadata"]["uid"] == "of the claim"
    assert [owner["uid"] for owner in applied["metadata"]["ownerReferences"]] == [UID]


@pytest.mark.parametrize(
    ("cluster", "owners", "followed"),
    [
        (KEEPS, [], True),
        (KEEPS, [UID], False),
        (DELETES, [], False),
        (DELETES, [UID], True),
        (KEEPS, ["of an earlier resource"], True),
        (DELETES, ["of an earlier resource"], True),
    ],
)
def test_a_policy_is_followed_where_the_owner_is_as_it_says_and_an_earlier_owner_is_not_ours_to_judge(
    cluster, owners, followed
):
    assert is_followed(cluster, claim(*owners)) is followed


def test_an_owner_of_another_kind_has_no_say():
    live = claim()
    live["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": "mover", "uid": UID}]
    assert is_followed(KEEPS, live)
