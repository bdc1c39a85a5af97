from multiserver.resources.networkpolicy import network_policy
from tests.clusters import a_blueprint

CLUSTER_PODS = {"podSelector": {"matchLabels": {"multiserver.dev/cluster": "lab"}}}
OPERATOR = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "multiserver-system"}}}


def tcp(*ports: int) -> list[dict[str, object]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def test_strangers_come_to_postgres_and_the_metrics_only_and_the_site_goes_to_its_peers_only():
    policy = network_policy(a_blueprint(), "berlin")
    assert policy["metadata"]["name"] == "lab-berlin"
    assert policy["spec"] == {
        "podSelector": {
            "matchLabels": {
                "multiserver.dev/cluster": "lab",
                "app.kubernetes.io/component": "server",
                "multiserver.dev/site": "berlin",
            }
        },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": tcp(5432, 8080)},
            {"from": [CLUSTER_PODS, OPERATOR], "ports": tcp(22000, 8443)},
        ],
        "egress": [
            {"to": [CLUSTER_PODS], "ports": tcp(5432, 22000, 8443)},
            {
                "ports": [
                    {"port": 53, "protocol": "UDP"},
                    {"port": 53, "protocol": "TCP"},
                    {"port": 5353, "protocol": "UDP"},
                    {"port": 5353, "protocol": "TCP"},
                ]
            },
        ],
    }
