"""The adapter against a real API server: what it writes, what it leaves alone, and what it says when it cannot."""

from base64 import b64encode
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from multiserver.api.names import CLUSTER_LABEL, OPENED_ANNOTATION
from multiserver.api.spec import Cluster
from multiserver.kube.client import Kubernetes, connect
from multiserver.kube.drift import drift
from multiserver.kube.errors import ConflictError, NameTakenError, NotFoundError, RefusedError, UnreachableError
from multiserver.kube.events import event
from multiserver.resources.assembly import cluster_objects, site_objects
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.retention import retention
from multiserver.resources.secrets import application_password, backup_passphrase, connections
from multiserver.resources.volumes import volume_claims
from tests.clusters import a_blueprint, a_cluster
from tests.kubernetes.api import resource


def labelled(kind: str, namespace: str, name: str, cluster: str = "lab", **body: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {CLUSTER_LABEL: cluster}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **body}


async def version(kubernetes: Kubernetes, item: dict[str, Any]) -> str:
    found = await kubernetes.get(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
    return str(found["metadata"]["resourceVersion"])


def stored_cluster(made: dict[str, Any], **spec: Any) -> Cluster:
    """The cluster as the control loop reads it, with the uid of the real resource."""
    metadata = made["metadata"]
    return a_cluster(name=metadata["name"], **spec).model_copy(
        update={"uid": metadata["uid"], "namespace": metadata["namespace"]}
    )


def everything(blueprint: Blueprint) -> list[dict[str, Any]]:
    sites = [item for plan in blueprint.sites for item in site_objects(blueprint, plan.name)]
    return [*cluster_objects(blueprint), *sites]


AWKWARD = {
    "database": {
        "resources": {"requests": {"cpu": "0.25", "memory": "1024Mi"}, "limits": {"cpu": "1500m", "memory": "2.5Gi"}},
        "storage": {"size": "20480Mi"},
    },
    "files": {"storage": {"size": "50000M"}, "resources": {"limits": {"memory": "1000Mi"}}},
    "imagePullSecrets": [{"name": "registry"}],
    "deletionPolicy": "Delete",
    "sites": [
        {
            "name": "berlin",
            "placement": {
                "nodeSelector": {"room": "cellar"},
                "tolerations": [{"key": "dust", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
            },
            "service": {"type": "LoadBalancer", "annotations": {"example.com/address": "10.1.1.1"}},
        },
        {"name": "hamburg", "service": {"type": "NodePort"}},
    ],
}


@pytest.mark.parametrize(("name", "spec"), [("plain", {}), ("awkward", AWKWARD)])
async def test_everything_that_is_built_is_stored_as_written_and_then_at_rest(kubernetes, api, namespace, name, spec):
    made = await api.create(resource(namespace, name=name, **spec))
    blueprint = a_blueprint(stored_cluster(made, **deepcopy(spec)))
    objects = everything(blueprint)
    for item in objects:
        await kubernetes.apply(item)
    live = {(item["kind"], item["metadata"]["name"]): item for item in await kubernetes.list_owned(namespace, name)}
    drifted = {
        (item["kind"], item["metadata"]["name"]): drift(item, live[item["kind"], item["metadata"]["name"]])
        for item in objects
    }
    assert {key: where for key, where in drifted.items() if where} == {}
    again = [(await kubernetes.apply(item)).drift for item in objects]
    assert set(again) == {""}
    await kubernetes.delete(made)


async def test_what_was_changed_by_hand_is_put_back_and_what_others_added_stays(kubernetes, namespace):
    wanted = labelled("ConfigMap", namespace, "drifts", data={"a": "1"})
    live = (await kubernetes.apply(wanted)).live
    live["data"] = {"a": "2", "b": "theirs"}
    await kubernetes.replace(live)
    applied = await kubernetes.apply(wanted)
    assert applied.drift == "data.a"
    assert applied.live["data"] == {"a": "1", "b": "theirs"}


async def test_what_is_wanted_no_more_is_removed(kubernetes, namespace):
    await kubernetes.apply(labelled("ConfigMap", namespace, "shrinks", data={"a": "1", "b": "2"}))
    applied = await kubernetes.apply(labelled("ConfigMap", namespace, "shrinks", data={"a": "1"}))
    assert applied.live["data"] == {"a": "1"}


async def test_an_apply_that_changes_nothing_writes_nothing(kubernetes, namespace):
    wanted = labelled("ConfigMap", namespace, "rests", data={"a": "1"})
    assert (await kubernetes.apply(wanted)).drift == "it did not exist"
    before = await version(kubernetes, wanted)
    assert (await kubernetes.apply(wanted)).drift == ""
    assert await version(kubernetes, wanted) == before


@pytest.mark.parametrize("cluster", ["other", None])
async def test_an_object_that_is_someone_elses_is_left_alone(kubernetes, namespace, cluster):
    theirs = labelled("ConfigMap", namespace, f"theirs-{cluster}".lower(), data={"a": "theirs"})
    theirs["metadata"]["labels"] = {CLUSTER_LABEL: cluster} if cluster else {}
    await kubernetes.create(theirs)
    before = await version(kubernetes, theirs)
    ours = labelled("ConfigMap", namespace, theirs["metadata"]["name"], data={"a": "ours"})
    words = "belongs to the cluster other" if cluster else "was not made by this operator"
    for attempt in (kubernetes.apply, kubernetes.create_once):
        with pytest.raises(NameTakenError, match=f"{words}: choose another name for lab or its site"):
            await attempt(ours)
    assert await version(kubernetes, theirs) == before


async def test_what_is_created_once_is_never_overwritten(kubernetes, namespace):
    cluster = a_cluster(name="once").model_copy(update={"namespace": namespace})
    assert await kubernetes.create_once(backup_passphrase(cluster, "first")) is True
    assert await kubernetes.create_once(backup_passphrase(cluster, "second")) is False
    kept = await kubernetes.get("Secret", namespace, "once-backup")
    assert kept["data"] == {"passphrase": b64encode(b"first").decode()}


async def test_a_kept_secret_gets_and_loses_its_owner_and_keeps_its_data(kubernetes, api, namespace):
    made = await api.create(resource(namespace, name="owned"))
    kept = stored_cluster(made)
    going = stored_cluster(made, deletionPolicy="Delete")
    await kubernetes.create_once(backup_passphrase(kept, "passphrase"))
    live = await kubernetes.get("Secret", namespace, "owned-backup")
    owned = (await kubernetes.apply(retention(going, live))).live
    assert [owner["uid"] for owner in owned["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]
    freed = (await kubernetes.apply(retention(kept, owned))).live
    assert "ownerReferences" not in freed["metadata"]
    assert freed["data"] == live["data"]
    await kubernetes.delete(made)


async def test_a_volume_whose_site_has_left_gets_and_loses_its_owner_and_the_site_may_come_back(
    kubernetes, api, namespace
):
    made = await api.create(resource(namespace, name="left"))
    kept, going = stored_cluster(made), stored_cluster(made, deletionPolicy="Delete")
    wanted = volume_claims(replace(a_blueprint(kept), opened=frozenset({"berlin"})), "berlin")[0]
    live = (await kubernetes.apply(wanted)).live
    # Given by the API server. Were it ever applied, the site that comes back could not leave it out again.
    assert live["spec"]["storageClassName"]

    owned = (await kubernetes.apply(retention(going, live))).live
    assert [owner["uid"] for owner in owned["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]
    freed = (await kubernetes.apply(retention(kept, owned))).live
    assert "ownerReferences" not in freed["metadata"]
    assert freed["metadata"]["annotations"][OPENED_ANNOTATION] == "true"
    assert freed["spec"] == live["spec"]
    assert (await kubernetes.apply(retention(kept, freed))).drift == ""

    back = (await kubernetes.apply(wanted)).live
    assert back["spec"] == live["spec"]
    assert (await kubernetes.apply(wanted)).drift == ""
    await kubernetes.delete(made)


async def test_a_secret_that_vanished_is_not_made_again_without_its_keys(kubernetes, namespace):
    cluster = a_cluster(name="gone").model_copy(update={"namespace": namespace})
    await kubernetes.create_once(backup_passphrase(cluster, "passphrase"))
    live = await kubernetes.get("Secret", namespace, "gone-backup")
    await kubernetes.delete(live)
    with pytest.raises(ConflictError, match="uid"):
        await kubernetes.apply(retention(cluster, live))
    assert await kubernetes.find("Secret", namespace, "gone-backup") is None


async def test_the_connection_is_added_to_the_applications_secret_beside_its_password(kubernetes, namespace):
    cluster = a_cluster(name="joined").model_copy(update={"namespace": namespace})
    await kubernetes.create_once(application_password(cluster, "sesame"))
    live = await kubernetes.get("Secret", namespace, "joined-app")
    wanted = connections(a_blueprint(cluster), live)
    for item in wanted:
        await kubernetes.apply(item)
    joined = await kubernetes.get("Secret", namespace, "joined-app")
    assert set(joined["data"]) == {"username", "password", "dbname", "host", "port", "uri", "ca.crt"}
    assert joined["data"]["password"] == b64encode(b"sesame").decode()
    assert [drift(item, joined) for item in connections(a_blueprint(cluster), joined)[:1]] == [""]


async def test_only_the_very_object_that_was_seen_is_deleted(kubernetes, namespace):
    wanted = labelled("ConfigMap", namespace, "replaced")
    seen = await kubernetes.create(wanted)
    await kubernetes.delete(seen)
    await kubernetes.delete(seen)
    await kubernetes.create(wanted)
    with pytest.raises(ConflictError):
        await kubernetes.delete(seen)
    assert await kubernetes.find("ConfigMap", namespace, "replaced") is not None


async def test_children_are_found_by_their_cluster_and_name_their_kind(kubernetes, namespace):
    await kubernetes.apply(labelled("ConfigMap", namespace, "child", cluster="parent"))
    await kubernetes.apply(labelled("Secret", namespace, "child", cluster="parent"))
    await kubernetes.apply(labelled("ConfigMap", namespace, "stranger", cluster="neighbour"))
    found = await kubernetes.list_owned(namespace, "parent")
    assert [(item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in found] == [
        ("v1", "ConfigMap", "child"),
        ("v1", "Secret", "child"),
    ]


async def test_a_status_is_written_and_fields_that_are_left_out_go(kubernetes, api, namespace):
    made = await api.create(resource(namespace, name="reported"))
    await kubernetes.apply_status(made, {"summary": "all is well", "lag": "0 B"})
    after = await kubernetes.apply_status(made, {"summary": "all is well"})
    assert after["status"]["summary"] == "all is well"
    assert after["status"]["lag"] == ""
    assert after["metadata"]["generation"] == made["metadata"]["generation"]
    await kubernetes.delete(made)


async def test_a_status_of_a_resource_that_was_deleted_is_not_written_to_its_namesake(kubernetes, api, namespace):
    before = await api.create(resource(namespace, name="again"))
    await kubernetes.delete(before)
    after = await api.create(resource(namespace, name="again"))

    with pytest.raises(ConflictError, match="again: it was deleted and made anew"):
        await kubernetes.apply_status(before, {"summary": "of the one before", "schemaSite": "berlin"})

    told = await kubernetes.get("MultiServerCluster", namespace, "again")
    assert "status" not in told
    await kubernetes.delete(after)


async def test_a_status_is_not_written_to_a_namesake_that_came_just_before_the_write(
    kubernetes, api, namespace, monkeypatch
):
    before = await api.create(resource(namespace, name="hasty"))
    await kubernetes.delete(before)
    after = await api.create(resource(namespace, name="hasty"))

    async def as_it_was(*_: Any) -> dict[str, Any]:
        return before

    with monkeypatch.context() as just_read, pytest.raises(ConflictError, match="has been modified"):
        just_read.setattr(kubernetes, "get", as_it_was)
        await kubernetes.apply_status(before, {"summary": "of the one before"})

    assert "status" not in await kubernetes.get("MultiServerCluster", namespace, "hasty")
    await kubernetes.delete(after)


async def test_a_status_of_a_resource_that_is_gone_is_not_written(kubernetes, api, namespace):
    made = await api.create(resource(namespace, name="going"))
    await kubernetes.delete(made)

    with pytest.raises(NotFoundError):
        await kubernetes.apply_status(made, {"summary": "ghost"})

    assert await kubernetes.find("MultiServerCluster", namespace, "going") is None


async def test_a_warning_is_shown_on_the_resource(kubernetes, api, namespace):
    made = await api.create(resource(namespace, name="warned"))
    await kubernetes.create(event(made, "Warning", "CutOff", "berlin does not reach hamburg", datetime.now(UTC)))
    found = [item for item in await kubernetes.list_warnings(namespace) if item["involvedObject"]["name"] == "warned"]
    assert [(item["reason"], item["message"]) for item in found] == [("CutOff", "berlin does not reach hamburg")]
    await kubernetes.delete(made)


async def test_a_refusal_carries_the_servers_own_words(kubernetes, namespace):
    wanted = labelled("Service", namespace, "refused", spec={"ports": [{"port": 70000, "protocol": "TCP"}]})
    with pytest.raises(RefusedError, match=r"cannot apply Service refused: .*must be between 1 and 65535"):
        await kubernetes.apply(wanted)


async def test_an_object_that_is_not_there_is_an_error_to_get_and_nothing_to_find(kubernetes, namespace):
    assert await kubernetes.find("ConfigMap", namespace, "nothing") is None
    with pytest.raises(NotFoundError, match="cannot read ConfigMap nothing"):
        await kubernetes.get("ConfigMap", namespace, "nothing")


@pytest.fixture
def kubeconfig_to_nowhere(kubeconfig: Path, tmp_path: Path) -> Path:
    text = kubeconfig.read_text()
    address = next(line.split("server:")[1].strip() for line in text.splitlines() if "server:" in line)
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(text.replace(address, "https://127.0.0.1:1"))
    return nowhere


async def test_a_server_that_is_not_there_is_said_to_be_unreachable(kubeconfig_to_nowhere):
    async with connect(kubeconfig_to_nowhere) as client:
        with pytest.raises(UnreachableError, match="cannot list Pods: the API server is not reached"):
            await client.list_kind("Pod")


async def test_without_a_way_to_the_server_there_is_no_client(tmp_path):
    with pytest.raises(UnreachableError, match="no way to the API server is known"):
        async with connect(tmp_path / "missing"):
            pass
