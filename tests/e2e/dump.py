"""What a failed test shows: the resources, the pods, the operator's last words, and the events."""

from collections.abc import Iterator

from hack.common.command import CommandFailed
from hack.demo.kubernetes import Kubernetes
from hack.demo.story import OPERATOR_NAMESPACE
from tests.e2e.meshes import LABEL

LOG_LINES = "--tail=200"
EVENTS = 60


def sections(kubernetes: Kubernetes) -> Iterator[tuple[str, str]]:
    """Give headings with what is to see now, for all namespaces of the tests."""
    yield "pods", _seen(kubernetes, "get", "pods", "-A", "-o", "wide")
    operator = ("logs", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=multiserver-operator", LOG_LINES)
    yield "operator's log", _seen(kubernetes, *operator)
    for namespace in _seen(kubernetes, "get", "ns", "-l", LABEL, "-o", "name").split():
        inside = ("-n", namespace.removeprefix("namespace/"))
        yield f"{namespace}: clusters", _seen(kubernetes, "get", "msc", *inside, "-o", "yaml")
        events = _seen(kubernetes, "get", "events", *inside, "--sort-by=.lastTimestamp").splitlines()
        yield f"{namespace}: last events", "\n".join(events[-EVENTS:])


def _seen(kubernetes: Kubernetes, *arguments: str) -> str:
    try:
        return kubernetes.kubectl(*arguments, timeout_seconds=30)
    except CommandFailed as error:
        return str(error)
