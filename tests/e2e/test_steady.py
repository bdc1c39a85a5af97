"""A cluster where nothing happens causes no writes to the API server."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, dropwhile
from typing import Any

from hack.demo.kubernetes import Local
from hack.demo.mesh import Mesh
from hack.demo.waiting import wait_for
from multiserver.kube.lease import Lease
from tests.e2e.operator_pod import Operator

STEADY_SECONDS = 300


@dataclass
class Stretches:
    """How many renewals of the Lease the longest one had, and what ended each."""

    longest: int = 0
    ended_by: list[str] = field(default_factory=list)


def test_five_minutes_of_the_operators_life_pass_without_a_write_for_a_quiet_cluster(
    quiet_mesh: Mesh, operator: Operator, kubernetes: Local
) -> None:
    """The minutes are counted by renewals of the Lease, so that only those count in which the operator leads.

    They may have passed while other tests ran: the cluster is there from the beginning and nobody touches it.
    """
    audit_logs = kubernetes.audit_log().parent
    renewals_wanted = STEADY_SECONDS / Lease("", "", "").renew_seconds

    def seen() -> Stretches:
        recorded = chain.from_iterable(file.open() for file in sorted(audit_logs.glob("audit*.log")))
        return stretches(writes(recorded, operator, quiet_mesh))

    wait_for(
        f"{renewals_wanted:.0f} renewals of the Lease with no other write between them",
        seen,
        until=lambda stretches: stretches.longest >= renewals_wanted,
        timeout_seconds=3 * STEADY_SECONDS,  # While other tests work the machine hard, the status has to say so.
        pause_seconds=10,
    )


def writes(audit_log: Iterable[str], operator: Operator, quiet_mesh: Mesh) -> Iterator[dict[str, Any]]:
    """Give what the operator wrote, in its own namespace and the quiet cluster's, since it began with the latter."""
    whole_lines = (line for line in audit_log if line.endswith("\n"))
    by_operator = (json.loads(line) for line in whole_lines if operator.user in line)
    since_first = dropwhile(lambda write: write["objectRef"].get("namespace") != quiet_mesh.namespace, by_operator)
    return (
        write
        for write in since_first
        if write["objectRef"].get("namespace") in (operator.namespace, quiet_mesh.namespace)
    )


def stretches(writes: Iterable[dict[str, Any]]) -> Stretches:
    """Count the renewals of the Lease between other writes."""
    found = Stretches()
    renewals = 0
    for write in writes:
        if write["objectRef"]["resource"] == "leases" and write["verb"] == "update":
            renewals += 1
            found.longest = max(found.longest, renewals)
        else:
            renewals = 0
            found.ended_by.append(f"{write['stageTimestamp']} {write['verb']} {write['requestURI']}")
    return found
