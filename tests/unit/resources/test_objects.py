from multiserver.resources.objects import named, without_empty
from tests.clusters import UID, a_cluster

OWNER = {
    "apiVersion": "multiserver.dev/v1alpha1",
    "kind": "MultiServerCluster",
    "name": "lab",
    "uid": UID,
    "controller": True,
}


def test_an_object_has_its_head_its_labels_and_its_owner():
    assert named("apps/v1/StatefulSet", "lab-berlin", a_cluster(), site="berlin", component="server") == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "lab-berlin",
            "namespace": "clinic",
            "labels": {
                "app.kubernetes.io/name": "multiserver",
                "app.kubernetes.io/managed-by": "multiserver-operator",
                "app.kubernetes.io/component": "server",
                "multiserver.dev/cluster": "lab",
                "multiserver.dev/site": "berlin",
            },
            "ownerReferences": [OWNER],
        },
    }


def test_a_kept_object_has_an_owner_only_if_the_resource_takes_it_along():
    assert "ownerReferences" not in named("v1/Secret", "keys", a_cluster(), kept=True)["metadata"]
    going = named("v1/Secret", "keys", a_cluster(deletionPolicy="Delete"), kept=True)
    assert going["metadata"]["ownerReferences"] == [OWNER]


def test_what_is_empty_is_left_out_except_where_empty_means_something():
    written = {"a": {"b": {}, "c": None}, "d": [], "e": [{"f": []}], "g": False, "h": 0, "i": "", "emptyDir": {}}
    assert without_empty(written) == {"e": [{}], "g": False, "h": 0, "i": "", "emptyDir": {}}
