"""The operator's process ends in order when it is asked to, and hands its Lease on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from multiserver.api.names import MANAGER
from multiserver.kube.client import Kubernetes
from tests.kubernetes.api import eventually

ENDS_SECONDS = 10


@dataclass
class Process:
    """An operator that runs beside the tests, and what it says."""

    running: subprocess.Popen[bytes]
    log: Path

    async def says(self, words: str) -> None:
        async def is_said() -> bool:
            return words in self.log.read_text()

        await eventually(is_said, f"the operator says {words!r}")

    def ended(self) -> int:
        """Ask it to end as the kubelet does; give its exit code."""
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(ENDS_SECONDS)


@pytest.fixture
def process(kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Process]:
    surroundings = {
        "KUBECONFIG": str(kubeconfig),
        "POD_NAME": "operator",
        "POD_NAMESPACE": namespace,
        "SITE_IMAGE": "registry.example/site:1",
        "WATCH_NAMESPACE": namespace,
    }
    command = [sys.executable, "-m", "multiserver", "operator", "--probe-port=0"]
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, env={**os.environ, **surroundings}, stderr=output) as running,
    ):
        yield Process(running, log)
        running.kill()


async def test_it_ends_at_once_and_gives_its_lease_back(
    process: Process, kubernetes: Kubernetes, namespace: str
) -> None:
    await process.says("leads")
    assert process.ended() == 0
    lease = await kubernetes.get("Lease", namespace, MANAGER)
    assert not lease["spec"].get("holderIdentity")


async def test_it_ends_also_while_it_waits_for_the_lease_that_it_lost(
    process: Process, kubernetes: Kubernetes, namespace: str
) -> None:
    await process.says("leads")
    lease = await kubernetes.get("Lease", namespace, MANAGER)
    await kubernetes.replace({**lease, "spec": {**lease["spec"], "holderIdentity": "another"}})
    await process.says("waiting for it again")
    assert process.ended() == 0
