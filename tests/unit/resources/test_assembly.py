import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
from hypothesis import HealthCheck, given, settings

from multiserver.api.names import CLUSTER_LABEL, SITE_LABEL
from multiserver.api.spec import Cluster
from multiserver.resources.assembly import cluster_objects, site_objects
from multiserver.resources.secrets import application_password, connections
from tests.clusters import UID, a_blueprint, a_cluster, clusters

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def all_objects(cluster: Cluster) -> list[dict[str, Any]]:
    blueprint = a_blueprint(cluster)
    live = application_password(cluster, "secret")
    live["metadata"]["uid"] = UID
    sites = [item for plan in blueprint.sites for item in site_objects(blueprint, plan.name)]
    return [*connections(blueprint, live), *cluster_objects(blueprint), *sites]


def empties(node: Any, path: str = "") -> Iterator[str]:
    """Find what the API server would not store, so that a comparison with it would never be at rest."""
    if node in (None, {}, []) and not path.endswith(".emptyDir"):
        yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from empties(value, f"{path}.{key}")
    if isinstance(node, list):
        for value in node:
            yield from empties(value, f"{path}[]")


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(clusters())
def test_whatever_the_resource_every_object_is_valid_named_labelled_and_owned(cluster):
    objects = all_objects(cluster)
    for item in objects:
        kubernetes_validate.validate(item, "1.34", strict=True)
        metadata = item["metadata"]
        assert DNS_LABEL.fullmatch(metadata["name"])
        assert metadata["namespace"] == cluster.namespace
        assert metadata["labels"][CLUSTER_LABEL] == cluster.name
        assert list(empties(item)) == []
    identities = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(set(identities)) == len(identities)


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(clusters())
def test_the_same_resource_gives_the_same_objects_whatever_the_order_of_its_sites(cluster):
    turned = cluster.model_copy(update={"spec": cluster.spec.model_copy(update={"sites": cluster.spec.sites[::-1]})})

    def by_identity(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        return {(item["kind"], item["metadata"]["name"]): item for item in objects}

    assert by_identity(all_objects(cluster)) == by_identity(all_objects(turned))


def test_the_longest_names_fit_a_cronjob():
    cluster = a_cluster("s" * 18, name="c" * 20)
    names = [item["metadata"]["name"] for item in all_objects(cluster) if item["kind"] == "CronJob"]
    assert max(map(len, names)) <= 52


def test_what_a_pod_needs_is_applied_before_it():
    kinds = [item["kind"] for item in site_objects(a_blueprint(), "berlin")]
    assert kinds == [
        "ServiceAccount",
        "ConfigMap",
        *["PersistentVolumeClaim"] * 3,
        "NetworkPolicy",
        *["Service"] * 2,
        "StatefulSet",
        *["CronJob"] * 2,
    ]


def test_objects_of_a_site_carry_its_label_and_shared_ones_none():
    blueprint = a_blueprint()
    assert {item["metadata"]["labels"][SITE_LABEL] for item in site_objects(blueprint, "berlin")} == {"berlin"}
    assert not any(SITE_LABEL in item["metadata"]["labels"] for item in cluster_objects(blueprint))


def test_only_volumes_and_secrets_outlive_the_resource():
    kept = {item["kind"] for item in all_objects(a_cluster()) if "ownerReferences" not in item["metadata"]}
    assert kept == {"PersistentVolumeClaim", "Secret"}
    deleted = all_objects(a_cluster(deletionPolicy="Delete"))
    assert all(item["metadata"]["ownerReferences"][0]["uid"] == UID for item in deleted)


def test_no_pod_has_a_token_or_rights():
    for item in all_objects(a_cluster()):
        spec = item.get("spec", {})
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template")
        if item["kind"] == "ServiceAccount":
            assert item["automountServiceAccountToken"] is False
        if template:
            assert template["spec"]["automountServiceAccountToken"] is False
    assert not {"Role", "RoleBinding"} & {item["kind"] for item in all_objects(a_cluster())}
