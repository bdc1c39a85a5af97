"""Child objects: which differ from what is declared, and which are not declared any more."""

from collections.abc import Iterable, Mapping
from typing import Any

from multiserver.api.names import MANAGED_BY_LABEL, MANAGER, SITE_LABEL
from multiserver.control.plan.actions import Apply, Delete
from multiserver.kube.applied import applied
from multiserver.kube.drift import drift, is_contained

NEVER_PRUNED = frozenset({"PersistentVolumeClaim", "Secret", "Pod"})
"""Volumes and keys outlive what is declared; pods belong to their StatefulSet."""

Objects = Mapping[tuple[str, str], Mapping[str, Any]]


def to_apply(desired: Iterable[dict[str, Any]], live: Objects) -> list[Apply]:
    """Give the actions for each desired object that is missing or differs, in the given order."""
    found = ((item, live.get((item["kind"], item["metadata"]["name"]))) for item in desired)
    steps = ((step, present) for item, present in found for step in _steps(item, present))
    return [Apply(step, present) for step, present in steps if present is None or drift(step, present)]


def _steps(item: dict[str, Any], present: Mapping[str, Any] | None) -> tuple[dict[str, Any], ...]:
    """Give what to apply, one after the other, to bring an object to what is wanted.

    Many a StorageClass refuses to enlarge a volume, and an apply is refused as a whole: whom a volume belongs to, and
    that it was opened, come first and in an apply of their own. That one bears the uid, so as to make no new volume.
    """
    if present is None or item["kind"] != "PersistentVolumeClaim" or is_contained(item["spec"], present["spec"]):
        return (item,)
    metadata = {**item["metadata"], "uid": present["metadata"]["uid"]}
    return ({**item, "metadata": metadata, "spec": applied(present).get("spec", {})}, item)


def to_delete(desired: Iterable[dict[str, Any]], live: Objects, staying: frozenset[str] = frozenset()) -> list[Delete]:
    """Give an action for each live child of a prunable kind that is not desired; `live` is an authoritative list.

    What belongs to the sites in `staying` stays. StatefulSets go first: a site without one has gone, and until then it
    needs the rest. An object that only bears the cluster's label, for example that of an application, is no child.
    """
    declared = {(item["kind"], item["metadata"]["name"]) for item in desired}
    gone = [
        item
        for (kind, name), item in live.items()
        if (kind, name) not in declared
        and kind not in NEVER_PRUNED
        and is_ours(item["metadata"])
        and item["metadata"]["labels"].get(SITE_LABEL) not in staying
    ]
    return [Delete(item) for item in sorted(gone, key=lambda item: item["kind"] != "StatefulSet")]


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Whether the operator made an object, and nobody deletes it already."""
    managed = metadata.get("labels", {}).get(MANAGED_BY_LABEL) == MANAGER
    return managed and not metadata.get("deletionTimestamp")
