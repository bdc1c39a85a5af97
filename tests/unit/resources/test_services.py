from typing import Any

from multiserver.resources.services import any_site_service, headless_service, server_service
from tests.clusters import a_blueprint, a_cluster

POSTGRES = {"name": "postgres", "port": 5432, "targetPort": "postgres", "protocol": "TCP"}
ALL_PORTS = [
    POSTGRES,
    {"name": "files", "port": 22000, "targetPort": "files", "protocol": "TCP"},
    {"name": "agent", "port": 8443, "targetPort": "agent", "protocol": "TCP"},
]
ANY_SERVER = {"multiserver.dev/cluster": "lab", "app.kubernetes.io/component": "server"}
BERLIN = {**ANY_SERVER, "multiserver.dev/site": "berlin"}


def parts(service: dict[str, Any]) -> tuple[str, Any, Any]:
    return service["metadata"]["name"], service["metadata"].get("annotations"), service["spec"]


def test_the_headless_service_names_the_pod_from_its_first_moment():
    assert parts(headless_service(a_blueprint(), "berlin")) == (
        "lab-berlin",
        None,
        {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": BERLIN, "ports": ALL_PORTS},
    )


def test_a_sites_server_is_reached_whether_ready_or_not():
    assert parts(server_service(a_blueprint(), "berlin")) == (
        "lab-berlin-server",
        None,
        {"type": "ClusterIP", "publishNotReadyAddresses": True, "selector": BERLIN, "ports": ALL_PORTS},
    )


def test_the_resource_chooses_the_type_and_annotations_of_a_sites_server():
    service = {"type": "LoadBalancer", "annotations": {"example.com/address": "10.1.1.1"}}
    cluster = a_cluster(sites=[{"name": "berlin", "service": service}])
    _, annotations, spec = parts(server_service(a_blueprint(cluster), "berlin"))
    assert annotations == {"example.com/address": "10.1.1.1"}
    assert spec["type"] == "LoadBalancer"


def test_any_site_means_the_nearest_that_is_ready():
    assert parts(any_site_service(a_blueprint())) == (
        "lab",
        None,
        {"type": "ClusterIP", "trafficDistribution": "PreferClose", "selector": ANY_SERVER, "ports": [POSTGRES]},
    )
