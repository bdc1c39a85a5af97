from multiserver.resources.disruptionbudget import disruption_budget
from tests.clusters import a_blueprint


def test_never_two_sites_of_a_cluster_are_evicted_together():
    budget = disruption_budget(a_blueprint())
    assert budget["metadata"]["name"] == "lab"
    assert budget["spec"] == {
        "minAvailable": 1,
        "selector": {"matchLabels": {"multiserver.dev/cluster": "lab", "app.kubernetes.io/component": "server"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
