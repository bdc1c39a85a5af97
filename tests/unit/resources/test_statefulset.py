from typing import Any

from hypothesis import given

from multiserver.api.spec import Cluster
from multiserver.resources.statefulset import declared_hash, stateful_set
from tests.clusters import a_blueprint, a_cluster, clusters


def pod(**spec: Any) -> dict[str, Any]:
    template: dict[str, Any] = stateful_set(a_blueprint(a_cluster(**spec)), "berlin")["spec"]["template"]
    return template


def container(name: str, **spec: Any) -> dict[str, Any]:
    every = pod(**spec)["spec"]
    return next(item for item in every["initContainers"] + every["containers"] if item["name"] == name)


def test_the_stateful_set_is_as_it_was(snapshot):
    assert stateful_set(a_blueprint(), "berlin") == snapshot


def test_a_changed_template_restarts_nothing_by_itself():
    assert stateful_set(a_blueprint(), "berlin")["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_every_container_keeps_to_restricted_pod_security():
    spec = pod()["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for item in spec["initContainers"] + spec["containers"]:
        assert item["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_no_probe_ends_a_database_that_recovers_from_a_crash():
    assert "livenessProbe" not in container("postgres")
    assert "startupProbe" not in container("postgres")


def test_postgres_stops_within_the_time_that_a_pod_is_given():
    stop = container("postgres")["lifecycle"]["preStop"]["exec"]["command"]
    assert stop == ["multiserver", "stop", "--timeout=280"]
    assert pod()["spec"]["terminationGracePeriodSeconds"] == 300


def test_syncthing_sees_neither_the_database_nor_its_keys():
    mounts = {mount["name"] for mount in container("syncthing")["volumeMounts"]}
    assert mounts == {"files", "run", "tmp"}


def test_resources_of_the_resource_are_those_of_the_containers():
    wanted = {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"memory": "2Gi"}}
    stored = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert container("postgres", database={"resources": wanted})["resources"] == stored
    assert container("syncthing", files={"resources": wanted})["resources"] == stored


def test_placement_is_the_sites_own():
    placement = {"nodeSelector": {"room": "cellar"}, "tolerations": [{"key": "dust", "operator": "Exists"}]}
    spec = pod(sites=[{"name": "berlin", "placement": placement}])["spec"]
    assert spec["nodeSelector"] == {"room": "cellar"}
    assert spec["tolerations"] == [{"key": "dust", "operator": "Exists"}]


def test_only_what_needs_a_restart_changes_the_pod():
    assert pod(sites=[{"name": "berlin"}, {"name": "leipzig"}]) == pod()
    assert pod(database={"parameters": {"work_mem": "64MB"}}) == pod()
    assert pod(files={"folders": [{"name": "scans"}]}) == pod()
    assert pod(database={"parameters": {"max_connections": "300"}}) != pod()


def test_empty_texts_of_a_toleration_are_left_out_as_the_api_server_does():
    tolerations = [
        {"key": "reserved", "operator": "Equal", "value": "", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ]
    stored = [{"key": "reserved", "operator": "Equal", "effect": "NoSchedule"}, {"operator": "Exists"}]
    assert pod(sites=[{"name": "berlin", "placement": {"tolerations": tolerations}}])["spec"]["tolerations"] == stored


@given(clusters(), clusters())
def test_whatever_changes_the_pod_changes_the_hash_of_what_is_declared_for_it(one: Cluster, other: Cluster):
    before, after = one.spec.sites[0], other.spec.sites[0].model_copy(update={"name": one.spec.sites[0].name})
    spec = other.spec.model_copy(update={"sites": [after]})
    changed = one.model_copy(update={"spec": spec})
    templates = [stateful_set(a_blueprint(cluster), before.name)["spec"]["template"] for cluster in (one, changed)]
    assert templates[0] == templates[1] or declared_hash(one, before) != declared_hash(changed, after)
