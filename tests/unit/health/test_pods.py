"""What Kubernetes says of a pod becomes a plain sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from multiserver.health import pods

BOUND = {"metadata": {"name": "lab-berlin-data"}, "status": {"phase": "Bound"}}
UNBOUND = {"metadata": {"name": "lab-berlin-data"}, "status": {"phase": "Pending"}}
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def explain(pod, claims, warnings, now=NOW):
    return pods.explain(pod, claims, warnings, now)


def a_pod(*, conditions=(), containers=(), deleted=False):
    metadata = {"name": "lab-berlin-0", **({"deletionTimestamp": "2026-03-01T12:00:00Z"} if deleted else {})}
    status = {"conditions": list(conditions), "containerStatuses": list(containers)}
    return {"metadata": metadata, "spec": {"nodeName": "north"}, "status": status}


def a_warning(reason, message, moment="2026-03-01T12:00:00Z", of="lab-berlin-0"):
    return {
        "metadata": {},
        "involvedObject": {"name": of},
        "reason": reason,
        "message": message,
        "lastTimestamp": moment,
    }


UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}


def test_a_ready_pod_serves():
    assert explain(a_pod(conditions=[{"type": "Ready", "status": "True"}]), [BOUND], []).state == "Ready"


def test_a_missing_storage_class_is_named():
    warning = a_warning("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')

    judged = explain(a_pod(conditions=[UNSCHEDULED]), [UNBOUND], [warning])

    assert judged.state == "NotReady"
    assert judged.message.startswith("volume lab-berlin-data cannot be provided")
    assert '"fast" not found' in judged.message


def test_what_is_said_of_a_volume_counts_more_than_that_the_scheduler_waits_for_it():
    cause = a_warning("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found', of="lab-berlin-data")
    later = a_warning("FailedScheduling", "pod has unbound immediate PersistentVolumeClaims", "2026-03-01T12:00:09Z")

    judged = explain(a_pod(conditions=[UNSCHEDULED]), [UNBOUND], [cause, later])

    assert judged.message == (
        'volume lab-berlin-data cannot be provided: ProvisioningFailed: storageclass.storage.k8s.io "fast" not found'
    )


def test_a_pod_that_no_node_takes_tells_why():
    judged = explain(a_pod(conditions=[UNSCHEDULED]), [BOUND], [])

    assert (judged.state, judged.message) == ("NotReady", "no node takes its pod: 0/3 nodes are available")


def test_an_image_that_cannot_be_pulled_tells_what_to_check():
    container = {"name": "postgres", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}

    judged = explain(a_pod(containers=[container]), [BOUND], [])

    assert judged.state == "NotReady"
    assert "check spec.image" in judged.message


def test_a_container_that_stops_again_and_again_speaks_with_its_last_words():
    container = {
        "name": "postgres",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "FATAL: no space left on device"}},
    }

    assert "no space left on device" in explain(a_pod(containers=[container]), [BOUND], []).message


def test_a_server_runs_although_the_agent_that_would_answer_for_it_is_broken():
    broken = {"name": "agent", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    server = {"name": "postgres", "ready": False, "state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}}}

    assert pods.is_server_running(a_pod(containers=[broken, server]))
    assert not pods.is_server_running(a_pod(containers=[{**server, "state": broken["state"]}]))
    assert not pods.is_server_running(a_pod(conditions=[UNSCHEDULED]))


def test_a_pod_on_its_way_is_starting():
    assert explain(None, [], []).state == "Starting"
    assert explain(a_pod(deleted=True), [BOUND], []).message == "its pod is being stopped"
    waiting = explain(a_pod(containers=[{"name": "agent", "ready": False, "state": {}}]), [BOUND], [])
    assert (waiting.state, waiting.message) == ("Starting", "waiting for agent")


def test_a_volume_that_is_being_filled_tells_since_when_and_where_to_see_how_far():
    pod = a_pod(containers=[{"name": "agent", "ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}])
    preparing = {"name": "prepare", "state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}}}
    pod["status"]["initContainerStatuses"] = [preparing]

    judged = explain(pod, [BOUND], [])

    assert judged.state == "Starting"
    assert judged.message.startswith("its volumes are being prepared since 2026-03-01T12:00:00Z")
    assert "kubectl logs lab-berlin-0 --container prepare" in judged.message


def test_the_newest_warning_speaks():
    warnings = [a_warning("Old", "first", "2026-03-01T11:00:00Z"), a_warning("FailedCreate", "exceeded quota")]

    judged = explain(None, [], warnings)

    assert (judged.state, judged.message) == ("NotReady", "FailedCreate: exceeded quota")


def test_a_hook_that_ended_with_its_server_is_no_cause():
    hook = a_warning("FailedPreStopHook", "PreStopHook failed", "2026-03-01T12:05:00Z")
    assert explain(None, [], [hook]).state == "Starting"
    judged = explain(None, [], [a_warning("FailedCreate", "exceeded quota"), hook])
    assert judged.message == "FailedCreate: exceeded quota"


def test_a_pod_whose_node_does_not_confirm_that_it_is_gone_is_not_said_to_be_on_its_way():
    judged = explain(a_pod(deleted=True), [BOUND], [], NOW + timedelta(minutes=6))

    assert judged.state == "Unknown"
    assert judged.message.startswith("its pod should have been gone by 2026-03-01 12:00:00 UTC, and node north")
    assert "node.kubernetes.io/out-of-service" in judged.message


@pytest.mark.parametrize("evicted", [False, True])
def test_a_silent_node_is_named_though_the_containers_were_ready(evicted):
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T11:58:00Z"}
    pod = a_pod(conditions=[{"type": "ContainersReady", "status": "True"}, ready], deleted=evicted)

    judged = explain(pod, [BOUND], [a_warning("NodeNotReady", "Node is not ready")])

    assert judged.state == "Unknown"
    assert judged.message.startswith("node north tells Kubernetes nothing since 2026-03-01 11:58:00 UTC")
