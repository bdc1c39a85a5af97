"""Why a site's pod does not serve, in plain words, from what Kubernetes says of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from multiserver.api.moments import CLOCK_TOLERANCE, moment
from multiserver.health.view import Serving

Object = Mapping[str, Any]

_WAITING_CURES = {
    "ImagePullBackOff": "its image cannot be pulled: check spec.image, spec.imagePullSecrets and the registry",
    "ErrImagePull": "its image cannot be pulled: check spec.image, spec.imagePullSecrets and the registry",
    "ErrImageNeverPull": "its image is not on the node and spec.imagePullPolicy is Never",
    "InvalidImageName": "its image has an invalid name: correct spec.image",
    "CreateContainerConfigError": "its configuration cannot be mounted",
    "CrashLoopBackOff": "it stops again and again: see its log",
}
_MEANINGLESS = {"FailedPreStopHook"}
"""A server that has stopped takes its hook with it, and Kubernetes calls that a failure; it says nothing else."""


def explain(pod: Object | None, claims: Iterable[Object], warnings: Iterable[Object], now: datetime) -> Serving:
    """Judge a site's pod.

    `claims` are the site's PersistentVolumeClaims and `warnings` the Warning events of the pod, its claims and its
    StatefulSet; the newest event speaks where the pod itself says too little.
    """
    claims = list(claims)
    warnings = [event for event in warnings if event.get("reason") not in _MEANINGLESS]
    unbound = next((claim for claim in claims if claim.get("status", {}).get("phase") != "Bound"), None)
    newest = _newest(warnings)
    if pod is None:
        return Serving("NotReady", newest) if newest else Serving("Starting", "its pod is being made")
    conditions = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    is_ready, are_containers = (conditions.get(of, {}).get("status") == "True" for of in ("Ready", "ContainersReady"))
    gone_by = _gone_by(pod)
    if gone_by and now - gone_by > CLOCK_TOLERANCE:
        return _not_gone(pod, gone_by)
    if are_containers and not is_ready:
        return _silent_node(pod, conditions.get("Ready", {}))
    if gone_by:
        return Serving("Starting", "its pod is being stopped")
    if is_ready:
        return Serving("Ready", _going(claims))
    if conditions.get("PodScheduled", {}).get("status") == "False":
        return _unscheduled(conditions["PodScheduled"], unbound, warnings)
    return _container_trouble(pod) or Serving("Starting", _starting(pod, newest))


def is_server_running(pod: Object) -> bool:
    """Whether the container of PostgreSQL runs. Its readiness says less: the agent answers for it, if that runs."""
    containers = pod.get("status", {}).get("containerStatuses", [])
    return any(one["name"] == "postgres" and "running" in one.get("state", {}) for one in containers)


def _going(claims: Iterable[Object]) -> str:
    """Warn of volumes that somebody deleted: they last as long as the pod. Empty if there is none."""
    names = [claim["metadata"]["name"] for claim in claims if claim["metadata"].get("deletionTimestamp")]
    if not names:
        return ""
    return f"volume {', '.join(names)} was deleted and is gone when the pod stops: copy the data first; not restarted"


def _gone_by(pod: Object) -> datetime | None:
    """Give when a pod that is being stopped should be gone: the end of its grace period. None if it is not."""
    due = pod["metadata"].get("deletionTimestamp")
    return datetime.fromisoformat(due) if due else None


def _not_gone(pod: Object, gone_by: datetime) -> Serving:
    """Only the node can confirm that a pod is gone, and this one has not."""
    return Serving(
        "Unknown",
        f"its pod should have been gone by {moment(gone_by)}, and node {_node(pod)} does not confirm that it is:"
        " bring the node back; if it is switched off for good, taint it node.kubernetes.io/out-of-service",
    )


def _silent_node(pod: Object, ready: Object) -> Serving:
    """Only the node controller takes Ready from a pod whose containers are ready: its node has fallen silent."""
    changed = ready.get("lastTransitionTime")
    since = f" since {moment(datetime.fromisoformat(changed))}" if changed else ""
    return Serving(
        "Unknown",
        f"node {_node(pod)} tells Kubernetes nothing{since}, so nobody knows whether the server runs there: look at the"
        " node, its kubelet and its line",
    )


def _node(pod: Object) -> str:
    return str(pod.get("spec", {}).get("nodeName", "unknown"))


def _unscheduled(condition: Object, unbound: Object | None, warnings: Iterable[Object]) -> Serving:
    told = condition.get("message", "no reason given")
    if unbound is None:
        return Serving("NotReady", f"no node takes its pod: {told}")
    name = unbound["metadata"]["name"]
    # The scheduler repeats only that the claim is not bound, and may do so after the cause was told.
    of_claim = _newest(event for event in warnings if event.get("involvedObject", {}).get("name") == name)
    return Serving("NotReady", f"volume {name} cannot be provided: {of_claim or _newest(warnings) or told}")


def _container_trouble(pod: Object) -> Serving | None:
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        if cure := _WAITING_CURES.get(waiting.get("reason", "")):
            detail = _last_words(container) or waiting.get("message", "")
            return Serving("NotReady", f"container {container['name']}: {cure}" + (f" ({detail})" if detail else ""))
        if (ended := container.get("state", {}).get("terminated", {})) and ended.get("exitCode"):
            words = ended.get("message") or f"exit code {ended['exitCode']}"
            return Serving("NotReady", f"container {container['name']} ended: {words.strip()}")
    return None


def _last_words(container: Object) -> str:
    ended = container.get("lastState", {}).get("terminated", {})
    return str(ended.get("message", "")).strip()


def _starting(pod: Object, newest: str) -> str:
    status = pod.get("status", {})
    slow = [c["name"] for c in status.get("containerStatuses", []) if not c.get("ready")]
    words = _preparing(pod) or (f"waiting for {', '.join(slow)}" if slow else "its pod is starting")
    return f"{words} ({newest})" if newest else words


def _preparing(pod: Object) -> str:
    """Say that the volumes are being prepared, which takes as long as a copy of all data takes; empty if not."""
    for container in pod.get("status", {}).get("initContainerStatuses", []):
        if started := container.get("state", {}).get("running", {}).get("startedAt"):
            name = pod["metadata"]["name"]
            return (
                f"its volumes are being prepared since {started}; a data volume without a database is filled with a "
                f"copy of a peer's, and 'kubectl logs {name} --container {container['name']}' tells how far that is"
            )
    return ""


def _newest(warnings: Iterable[Object]) -> str:
    def moment(event: Object) -> str:
        return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))

    newest = max(warnings, key=moment, default=None)
    return f"{newest.get('reason')}: {newest.get('message', '').strip()}" if newest else ""
