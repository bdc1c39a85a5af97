"""A real API server for these tests: the one of KUBECONFIG_TEST, else a local cluster of their own; no other."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from multiserver.kube.client import Kubernetes, connect
from multiserver.kube.errors import NotFoundError, UnreachableError
from tests.kubernetes.api import Api, eventually, opened
from tests.scratch import memory_suffices

CHECKOUT = Path(__file__).resolve().parents[2]
LOCAL_CLUSTER = "api"
"""The local cluster of these tests; no operator runs in it."""


def local_cluster(*arguments: str) -> str:
    return subprocess.run(command_line(*arguments), check=True, stdout=subprocess.PIPE, text=True).stdout


def is_up() -> bool:
    """Whether the cluster runs; one that is not there, or that somebody killed, does not."""
    command = command_line("status", "--cluster", LOCAL_CLUSTER)
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, str(CHECKOUT / "hack" / "local-cluster"), *arguments]


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The kubeconfig of the API server, with the resource's definition in it."""
    if given := os.environ.get("KUBECONFIG_TEST"):
        asyncio.run(install_definition(Path(given)))
        yield Path(given)
        return
    was_up = is_up()
    local_cluster("up", LOCAL_CLUSTER, *(["--in-memory"] if memory_suffices() else []))
    made = Path(local_cluster("kubeconfig", LOCAL_CLUSTER).strip())
    asyncio.run(install_definition(made))
    yield made
    if not was_up:
        local_cluster("down", LOCAL_CLUSTER)


async def install_definition(kubeconfig: Path) -> None:
    """Apply the resource's definition and wait until the API server serves it."""
    async with opened(kubeconfig) as api:
        await api.apply_definition()
    async with connect(kubeconfig) as kubernetes:
        await eventually(lambda: is_served(kubernetes), "the resource is served")


async def is_served(kubernetes: Kubernetes) -> bool:
    try:
        await kubernetes.list_kind("MultiServerCluster")
    except (NotFoundError, UnreachableError):
        return False
    return True


@pytest.fixture(scope="module")
def namespace(kubeconfig: Path) -> Iterator[str]:
    """A fresh namespace for the tests of one module."""
    name = f"test-{uuid.uuid4().hex[:10]}"

    async def create() -> None:
        async with connect(kubeconfig) as kubernetes:
            await kubernetes.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def delete() -> None:
        async with connect(kubeconfig) as kubernetes:
            await kubernetes.delete(await kubernetes.get("Namespace", None, name))

    asyncio.run(create())
    yield name
    asyncio.run(delete())


@pytest.fixture
async def kubernetes(kubeconfig: Path) -> AsyncIterator[Kubernetes]:
    async with connect(kubeconfig) as client:
        yield client


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    async with opened(kubeconfig) as client:
        yield client
