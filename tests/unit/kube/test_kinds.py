import pytest

from multiserver.kube.kinds import CHILD_KINDS, api_version, path


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (path("Service", "clinic", "lab"), "/api/v1/namespaces/clinic/services/lab"),
        (path("StatefulSet", "clinic"), "/apis/apps/v1/namespaces/clinic/statefulsets"),
        (path("MultiServerCluster"), "/apis/multiserver.dev/v1alpha1/multiserverclusters"),
        (
            path("MultiServerCluster", "clinic", "lab", "status"),
            "/apis/multiserver.dev/v1alpha1/namespaces/clinic/multiserverclusters/lab/status",
        ),
        (path("Namespace", None, "clinic"), "/api/v1/namespaces/clinic"),
    ],
)
def test_paths_are_those_of_the_api_server(found, expected):
    assert found == expected


def test_every_kind_of_child_is_known():
    assert all(api_version(kind) for kind in CHILD_KINDS)
