from datetime import UTC, datetime

from multiserver.kube.events import event

RESOURCE = {
    "apiVersion": "multiserver.dev/v1alpha1",
    "kind": "MultiServerCluster",
    "metadata": {"name": "lab", "namespace": "clinic", "uid": "1"},
}
NOW = datetime(2026, 5, 17, 8, 30, tzinfo=UTC)


def test_an_event_tells_of_what_when_and_why():
    assert event(RESOURCE, "Warning", "CutOff", "berlin does not reach hamburg", NOW) == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "lab.", "namespace": "clinic"},
        "involvedObject": {
            "apiVersion": "multiserver.dev/v1alpha1",
            "kind": "MultiServerCluster",
            "name": "lab",
            "namespace": "clinic",
            "uid": "1",
        },
        "type": "Warning",
        "reason": "CutOff",
        "message": "berlin does not reach hamburg",
        "firstTimestamp": "2026-05-17T08:30:00Z",
        "lastTimestamp": "2026-05-17T08:30:00Z",
        "count": 1,
        "source": {"component": "multiserver-operator"},
        "reportingComponent": "multiserver-operator",
    }


def test_a_message_that_is_too_long_for_an_event_is_cut_visibly():
    message = event(RESOURCE, "Normal", "Ready", "x" * 2000, NOW)["message"]
    assert (len(message), message[-1]) == (1024, "…")
