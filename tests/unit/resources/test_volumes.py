from dataclasses import replace

from multiserver.resources.volumes import volume_claims
from tests.clusters import a_blueprint, a_cluster

LABELS = {
    "app.kubernetes.io/name": "multiserver",
    "app.kubernetes.io/managed-by": "multiserver-operator",
    "multiserver.dev/cluster": "lab",
    "multiserver.dev/site": "berlin",
}


def test_a_site_has_a_volume_for_data_files_and_backups():
    cluster = a_cluster(database={"storage": {"size": "2048Gi", "storageClassName": "fast"}})

    def claim(purpose: str, **spec: object) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": f"lab-berlin-{purpose}",
                "namespace": "clinic",
                "labels": {**LABELS, "app.kubernetes.io/component": purpose},
            },
            "spec": {"accessModes": ["ReadWriteOnce"], **spec},
        }

    assert volume_claims(a_blueprint(cluster), "berlin") == [
        claim("data", storageClassName="fast", resources={"requests": {"storage": "2Ti"}}),
        claim("files", resources={"requests": {"storage": "50Gi"}}),
        claim("repository", resources={"requests": {"storage": "100Gi"}}),
    ]


def test_the_data_volume_of_a_site_that_was_opened_says_so():
    claims = volume_claims(replace(a_blueprint(), opened=frozenset({"berlin"})), "berlin")

    assert [claim["metadata"].get("annotations") for claim in claims] == [
        {"multiserver.dev/opened": "true"}, None, None,
    ]  # fmt: skip
