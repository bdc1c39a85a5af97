"""What all objects have in common: head, labels, owner, and a form that equals what the API server stores."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from multiserver.api.crd import API_VERSION, KIND
from multiserver.api.names import Names
from multiserver.api.spec import Cluster

Object = dict[str, Any]

_MEANS_SOMETHING_EMPTY = frozenset({"emptyDir"})
"""Keys whose empty map is a choice and not the lack of one."""


def named(
    kind: str,
    name: str,
    cluster: Cluster,
    *,
    site: str | None = None,
    component: str | None = None,
    annotations: Mapping[str, str] | None = None,
    kept: bool = False,
    **body: Any,
) -> Object:
    """Give an object of `kind` (with its API version, for example `apps/v1/StatefulSet`) in the cluster's namespace.

    The garbage collector removes it with the resource; one that is `kept` only if `deletionPolicy` says so.
    """
    api_version, _, bare_kind = kind.rpartition("/")
    metadata = {
        "name": name,
        "namespace": cluster.namespace,
        "labels": Names(cluster.name, cluster.namespace).labels(site, component),
        "annotations": dict(annotations or {}),
        "ownerReferences": [] if kept and cluster.spec.deletion_policy == "Retain" else [owner_reference(cluster)],
    }
    return without_empty({"apiVersion": api_version, "kind": bare_kind, "metadata": metadata, **body})


def owner_reference(cluster: Cluster) -> Object:
    """Give the reference that makes the resource the owner of an object."""
    return {"apiVersion": API_VERSION, "kind": KIND, "name": cluster.name, "uid": cluster.uid, "controller": True}


def short_hash(values: Mapping[str, Any]) -> str:
    """Give a hash of values that JSON can hold, for an annotation that shows when they change."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def without_empty(node: Object) -> Object:
    """Leave out nulls, empty maps and empty lists at any depth, as the API server does."""
    result = {}
    for key, value in node.items():
        kept = _pruned(value)
        if kept not in (None, {}, []) or (key in _MEANS_SOMETHING_EMPTY and value is not None):
            result[key] = kept
    return result


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return without_empty(value)
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value
