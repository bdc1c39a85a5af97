"""An operator whose process can be killed, as by a failing node, again and again and without Kubernetes' back-off."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hack.common.command import CommandFailed
from hack.demo.operator_install import RELEASE
from hack.demo.waiting import NotSeenError
from tests.e2e.operator_pod import Operator

POD = "operator-under-fire"
LIFE_SECONDS_MAX = 4.0
"""How long the operator leads before it is killed: from at once to long enough for several rounds."""

_KEEPER = """
import pathlib, subprocess
while True:
    operator = subprocess.Popen(["multiserver", "operator"])
    pathlib.Path("/tmp/process").write_text(str(operator.pid))
    operator.wait()
"""
_KILL = """
import os, pathlib, signal
os.kill(int(pathlib.Path("/tmp/process").read_text()), signal.SIGKILL)
"""


@dataclass
class KillableOperator:
    """The pod that starts the operator's process anew whenever it ends."""

    operator: Operator
    kills: int = 0

    def kill(self) -> None:
        """Kill the process without warning, and wait until the next one leads."""
        self.operator.kubectl("exec", POD, "--", "python3", "-c", _KILL)
        self.kills += 1
        self.operator.take_lease()
        self.operator.await_leader(POD)

    @contextmanager
    def under_fire(self, moments: random.Random, kills_max: int) -> Iterator[None]:
        """Kill it at random moments while the block runs, so often at the most; after that it is left in peace."""
        is_over = threading.Event()
        failures: list[Exception] = []

        def shoot() -> None:
            for _ in range(kills_max):
                # The moment is the point here: nothing else is waited for.
                if is_over.wait(moments.uniform(0, LIFE_SECONDS_MAX)):
                    return
                try:
                    self.kill()
                except (CommandFailed, NotSeenError) as error:
                    failures.append(error)
                    return

        shooter = threading.Thread(target=shoot, name="the operator's bad luck")
        shooter.start()
        try:
            yield
        finally:
            is_over.set()
            shooter.join()
        assert not failures, failures


@contextmanager
def killable_operator(operator: Operator) -> Iterator[KillableOperator]:
    """Run one in place of the installed operator, which must be stopped."""
    deployment = json.loads(operator.kubectl("get", "deployment", RELEASE, "-o", "json"))
    operator.kubectl("apply", "-f", "-", stdin=json.dumps(_pod(deployment["spec"]["template"]["spec"])))
    try:
        victim = KillableOperator(operator)
        operator.await_leader(POD)
        yield victim
    finally:
        remove_killable(operator)


def remove_killable(operator: Operator) -> None:
    """Remove the pod if it is there, and its hold on the Lease."""
    if operator.kubectl("get", "pod", POD, "--ignore-not-found"):
        operator.kubectl("delete", "pod", POD, "--force", "--grace-period=0")
        operator.take_lease()


def _pod(template: dict[str, Any]) -> dict[str, Any]:
    """The operator's own pod, but for its command and without probes."""
    container = {key: value for key, value in template["containers"][0].items() if not key.endswith("Probe")}
    container |= {"command": ["python3", "-c", _KEEPER], "args": []}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "labels": {"app.kubernetes.io/name": "multiserver-operator"}},
        "spec": {**template, "containers": [container]},
    }
