"""Who owns what outlives the resource, where nothing else is planned for it.

Invariant: `deletionPolicy` holds for all volumes and Secrets that were ever made for the cluster, so that what it says
when the resource is deleted is what happens. Those of declared sites are planned whole, with their owner. Those of a
site that has left are built no more; and while keys are missing or the plan is in conflict, nothing is.
"""

from collections.abc import Container, Mapping
from typing import Any

from multiserver.api.names import SITE_LABEL, VOLUME_PURPOSES, Names
from multiserver.control.plan.actions import Apply
from multiserver.control.plan.children import is_ours, to_apply
from multiserver.control.snapshot import Snapshot
from multiserver.resources.retention import is_followed, retention


def owners_to_set(snapshot: Snapshot, besides: Container[tuple[str, str]] = ()) -> list[Apply]:
    """Give what makes volumes and Secrets, but for those in `besides`, follow the policy; by kind and name."""
    found = [
        retention(snapshot.cluster, item)
        for key, item in sorted(snapshot.objects.items())
        if key not in besides and _outlives(snapshot.names, key, item) and not is_followed(snapshot.cluster, item)
    ]
    return to_apply(found, snapshot.objects)


def _outlives(names: Names, key: tuple[str, str], item: Mapping[str, Any]) -> bool:
    """Whether the operator made an object to be kept; what only bears the cluster's labels is none of its business."""
    site = item["metadata"].get("labels", {}).get(SITE_LABEL)
    if site:
        volumes = {("PersistentVolumeClaim", names.volume(site, purpose)) for purpose in VOLUME_PURPOSES}
        kept = volumes | {("Secret", names.identity(site)), ("Secret", names.site_application(site))}
    else:
        kept = {("Secret", name) for name in (names.operator_identity, names.application, names.backup_passphrase)}
    return key in kept and is_ours(item["metadata"])
