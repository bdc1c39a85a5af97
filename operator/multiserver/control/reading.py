"""Reading the resource: what it declares, what was told of it, and why nothing is known of it. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from multiserver.api.moments import moment
from multiserver.api.spec import Cluster, Spec
from multiserver.api.status import Status
from multiserver.control.snapshot import Unreadable
from multiserver.health.reasons import Reason
from multiserver.kube.errors import KubernetesError

FAULTS_MAX = 3
"""So many fields that cannot be read are named, and the others counted."""


def cluster_of(resource: Mapping[str, Any]) -> Cluster:
    """Read the resource. Raises ValidationError if it does not fit the types: the definition may be of a newer version.

    Fields that this version does not know are left out: such a definition fills them in by itself.
    """
    metadata = resource["metadata"]
    return Cluster(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=Spec.model_validate(resource["spec"], extra="ignore"),
    )


def status_of(resource: Mapping[str, Any]) -> Status:
    """Read the status as last written, perhaps by another version; an unreadable one counts as none."""
    try:
        return Status.model_validate(resource.get("status", {}), extra="ignore")
    except ValidationError:
        return Status()


def unreadable(resource: Mapping[str, Any], error: ValidationError, since: datetime, now: datetime) -> Unreadable:
    """Give what is known of a resource that `cluster_of` could not read, with the fields and the way out."""
    faults = [f"{_path(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    more = [f"and {len(faults) - FAULTS_MAX} more"] if len(faults) > FAULTS_MAX else []
    why = (
        f"this operator cannot read the resource since {moment(since)}: "
        f"{'; '.join([*faults[:FAULTS_MAX], *more])}. If that is written for a newer operator, run that one, or else "
        "correct it. Nothing is done and nothing is known until then; what runs goes on running"
    )
    return _unknown(resource, why, Reason.RESOURCE_UNREADABLE, now)


def failed(resource: Mapping[str, Any], error: Exception, since: datetime, now: datetime) -> Unreadable:
    """Give what is known of a resource with which the operator fails. What the error says may hold a secret."""
    what = str(error) if isinstance(error, KubernetesError) else f"{type(error).__name__}, which its log has in full"
    why = (
        f"the operator failed since {moment(since)}: {what}. Not everything is done and nothing is known until it "
        "succeeds; it goes on trying, and what runs goes on running"
    )
    return _unknown(resource, why, Reason.OPERATOR_FAILED, now)


def _unknown(resource: Mapping[str, Any], why: str, reason: Reason, now: datetime) -> Unreadable:
    metadata = resource["metadata"]
    return Unreadable(
        now=now,
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        status=status_of(resource),
        why=why,
        reason=reason,
    )


def _path(place: tuple[int | str, ...]) -> str:
    """Give the path of a field for a reader: spec.sites[0].name."""
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
