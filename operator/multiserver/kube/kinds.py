"""The kinds of objects that the operator deals with.

They stand here rather than being asked of the API server, so that no start depends on discovery and no file caches it.
"""

from multiserver.api.crd import API_VERSION, KIND, PLURAL

CHILD_KINDS = (
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Service",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
    "Pod",
)
"""Kinds of a cluster's children, in the order in which they are listed."""

_KINDS = {
    "ConfigMap": ("v1", "configmaps"),
    "CronJob": ("batch/v1", "cronjobs"),
    "Event": ("v1", "events"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "Namespace": ("v1", "namespaces"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Pod": ("v1", "pods"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    KIND: (API_VERSION, PLURAL),
}


def api_version(kind: str) -> str:
    """Give the API version of a kind, for example apps/v1. Raises KeyError if the operator does not deal with it."""
    return _KINDS[kind][0]


def path(kind: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
    """Give the path of an object, or of a collection if there is no name, on the API server.

    Without a namespace it is a cluster-wide collection, or an object that is in no namespace. Raises KeyError if the
    operator does not deal with the kind.
    """
    version, plural = _KINDS[kind]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    place = f"/namespaces/{namespace}" if namespace else ""
    return "/".join(filter(None, (root + place, plural, name, subresource)))
