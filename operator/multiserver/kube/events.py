"""Events that the operator shows on a resource. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from multiserver.api.names import MANAGER

_NOTE_LENGTH_MAX = 1024


def event(
    about: Mapping[str, Any], kind: Literal["Normal", "Warning"], reason: str, message: str, now: datetime
) -> dict[str, Any]:
    """Build an Event about an object; a message that is longer than an event may carry is cut."""
    metadata = about["metadata"]
    moment = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message if len(message) <= _NOTE_LENGTH_MAX else message[: _NOTE_LENGTH_MAX - 1] + "…",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
    }
