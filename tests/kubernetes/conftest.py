"""A real API server for these tests: the one of KUBECONFIG_TEST, else a local cluster of their own; no other."""

import asyncio
import json
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

CHECKOUT = Path(__file__).resolve().parents[2]
LOCAL_CLUSTER = "api"
"""The local cluster of these tests; no operator runs in it."""


def local_cluster(*arguments: str) -> str:
    command = [sys.executable, str(CHECKOUT / "hack" / "local-cluster"), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The kubeconfig of the API server, with the resource's definition in it."""
    if given := os.environ.get("KUBECONFIG_TEST"):
        asyncio.run(install_definition(Path(given)))
        yield Path(given)
        return
    was_there = LOCAL_CLUSTER in {
        item["name"] for item in json.loads(local_cluster("status", "-o", "json"))["clusters"]
    }
    local_cluster("up", LOCAL_CLUSTER)
    made = Path(local_cluster("kubeconfig", LOCAL_CLUSTER).strip())
    asyncio.run(install_definition(made))
    yield made
    if not was_there:
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
