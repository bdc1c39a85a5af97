"""Whose a volume or Secret is that outlives the resource: its owner alone, as `deletionPolicy` has it."""

from collections.abc import Mapping
from typing import Any

from multiserver.api.crd import API_VERSION, KIND
from multiserver.api.names import COMPONENT_LABEL, DESIRED_HASH_ANNOTATION, SITE_LABEL
from multiserver.api.spec import Cluster
from multiserver.kube.applied import applied
from multiserver.resources.objects import Object, named


def retention(cluster: Cluster, live: Mapping[str, Any]) -> Object:
    """Build what is applied to a live volume or Secret: all that was applied before, and its owner as is declared now.

    It carries the live object's uid, so that it can never make an empty one in place of one just deleted.
    """
    metadata, before = live["metadata"], applied(live)
    labels = metadata.get("labels", {})
    annotations = before.get("metadata", {}).get("annotations", {})
    item = named(
        f"v1/{live['kind']}",
        metadata["name"],
        cluster,
        site=labels.get(SITE_LABEL),
        component=labels.get(COMPONENT_LABEL),
        annotations={name: value for name, value in annotations.items() if name != DESIRED_HASH_ANNOTATION},
        kept=True,
        **{part: before[part] for part in ("spec", "type", "data") if part in before},
    )
    item["metadata"]["uid"] = metadata["uid"]
    return item


def is_followed(cluster: Cluster, live: Mapping[str, Any]) -> bool:
    """Tell whether a live volume or Secret has the owner that `deletionPolicy` gives it.

    What still belongs to an earlier resource of this name goes with that one: it is left to the garbage collector.
    """
    owners = live["metadata"].get("ownerReferences", ())
    found = {owner["uid"] for owner in owners if (owner["apiVersion"], owner["kind"]) == (API_VERSION, KIND)}
    return bool(found - {cluster.uid}) or (cluster.uid in found) == (cluster.spec.deletion_policy == "Delete")
