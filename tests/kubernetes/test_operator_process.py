"""The operator's process ends in order when it is asked to, hands its Lease on, and bears definitions later than it."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from multiserver.kube.client import Kubernetes
from tests.kubernetes.api import Api, eventually, resource
from tests.kubernetes.conftest import install_definition, is_served

ENDS_SECONDS = 10


@dataclass
class Process:
    """An operator that runs beside the tests, and what it says."""

    running: subprocess.Popen[bytes]
    log: Path
    lease: str

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
    lease = f"operator-{uuid.uuid4().hex[:8]}"
    surroundings = {
        "LEASE_NAME": lease,
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
        yield Process(running, log, lease)
        running.kill()


async def test_it_ends_at_once_and_gives_its_lease_back(
    process: Process, kubernetes: Kubernetes, namespace: str
) -> None:
    await process.says("leads")
    assert process.ended() == 0
    lease = await kubernetes.get("Lease", namespace, process.lease)
    assert not lease["spec"].get("holderIdentity")


async def test_it_ends_also_while_it_waits_for_the_lease_that_it_lost(
    process: Process, kubernetes: Kubernetes, namespace: str
) -> None:
    await process.says("leads")
    lease = await kubernetes.get("Lease", namespace, process.lease)
    await kubernetes.replace({**lease, "spec": {**lease["spec"], "holderIdentity": "another"}})
    await process.says("waiting for it again")
    assert process.ended() == 0


@pytest.fixture
async def undefined(api: Api, kubernetes: Kubernetes, kubeconfig: Path) -> AsyncIterator[None]:
    """The API server without the resource's definition, which comes back afterwards."""
    await api.remove_definition()

    async def is_gone() -> bool:
        return not await is_served(kubernetes)

    await eventually(is_gone, "the resource is served no more")
    yield
    await install_definition(kubeconfig)


async def test_one_that_watches_one_namespace_notices_a_definition_that_comes_after_it(
    undefined: None, process: Process, kubernetes: Kubernetes, api: Api, namespace: str, kubeconfig: Path
) -> None:
    await process.says("the API server knows no MultiServerCluster: install the definition")
    await install_definition(kubeconfig)
    await api.create(resource(namespace, name="late"))

    async def is_begun() -> bool:
        return await kubernetes.find("Secret", namespace, "late-operator-identity") is not None

    await eventually(is_begun, "the operator makes the keys of the cluster")
    assert process.ended() == 0
    await kubernetes.delete(await kubernetes.get("MultiServerCluster", namespace, "late"))


@pytest.fixture
async def archived(api: Api, kubernetes: Kubernetes, namespace: str) -> AsyncIterator[str]:
    """A resource that only a newer operator can read."""
    await api.apply_definition(newer=True)
    wanted = resource(namespace, name="archived", deletionPolicy="Archive")

    async def is_made() -> bool:
        with suppress(ApiException):
            return bool(await api.create(wanted))
        return False

    await eventually(is_made, "the newer definition is in effect")
    yield "archived"
    await kubernetes.delete(await kubernetes.get("MultiServerCluster", namespace, "archived"))
    await api.apply_definition()


async def test_a_resource_of_a_newer_version_says_in_its_status_that_it_cannot_be_read(
    archived: str, process: Process, kubernetes: Kubernetes, namespace: str
) -> None:
    async def told() -> dict[str, Any]:
        return (await kubernetes.get("MultiServerCluster", namespace, archived)).get("status", {})

    status = await eventually(told, "the status is written")
    assert "spec.deletionPolicy: Input should be 'Retain' or 'Delete'" in status["summary"]
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "Unknown"
    assert process.ended() == 0
