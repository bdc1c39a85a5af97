"""The API server as kubectl uses it: strict about unknown fields, and with dry runs that store nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient

from multiserver.api.crd import API_VERSION, KIND
from multiserver.kube.kinds import path

DEFINITION = Path(__file__).resolve().parents[2] / "crds" / "multiserver.dev_multiserverclusters.yaml"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def resource(namespace: str, name: str = "lab", **spec: Any) -> dict[str, Any]:
    """A MultiServerCluster as a user writes it; its sites are berlin and hamburg if none are given."""
    spec = {"sites": [{"name": "berlin"}, {"name": "hamburg"}], **spec}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


async def eventually(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 30) -> Any:
    """Wait until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.1)
    return found


class Api:
    """Create and change resources, for real or as a dry run."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self._dynamic = DynamicClient(api_client)

    async def create(self, wanted: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create as `kubectl create` does; give what is stored, or would be."""
        return await self._call("post", path(wanted["kind"], wanted["metadata"]["namespace"]), wanted, dry_run)

    async def replace(self, wanted: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Write a changed object as `kubectl replace` does."""
        metadata = wanted["metadata"]
        return await self._call("put", path(wanted["kind"], metadata["namespace"], metadata["name"]), wanted, dry_run)

    async def refusal_to_create(self, wanted: dict[str, Any]) -> str:
        """Give the sentence by which the API server refuses; empty if it would accept."""
        try:
            await self.create(wanted, dry_run=True)
        except ApiException as error:
            return str(yaml.safe_load(error.body or "")["message"])
        return ""

    async def refusal_to_change(self, wanted: dict[str, Any]) -> str:
        """Give the sentence by which the API server refuses the change; empty if it would accept."""
        try:
            await self.replace(wanted, dry_run=True)
        except ApiException as error:
            return str(yaml.safe_load(error.body or "")["message"])
        return ""

    async def apply_definition(self, *, newer: bool = False) -> None:
        """Install the definition of the resource, or bring it up to date; a newer one knows a third deletionPolicy."""
        definition = yaml.safe_load(DEFINITION.read_text())
        if newer:
            schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            schema["properties"]["spec"]["properties"]["deletionPolicy"]["enum"].append("Archive")
        place = f"{DEFINITIONS}/{definition['metadata']['name']}"
        await self._dynamic.request(
            "patch",
            place,
            body=definition,
            content_type="application/apply-patch+yaml",
            field_manager="tests",
            force_conflicts=True,
        )

    async def remove_definition(self) -> None:
        """Remove the definition, and all resources with it."""
        definition = yaml.safe_load(DEFINITION.read_text())
        await self._dynamic.request("delete", f"{DEFINITIONS}/{definition['metadata']['name']}")

    async def _call(self, method: str, place: str, body: dict[str, Any], dry_run: bool) -> dict[str, Any]:
        query = [("fieldValidation", "Strict")]
        parameters = {"query_params": query, "dry_run": "All" if dry_run else None}
        answer: dict[str, Any] = await self._dynamic.request(
            method, place, body=body, serializer=lambda _, data: data, **parameters
        )
        return answer


@asynccontextmanager
async def opened(kubeconfig: Path) -> AsyncIterator[Api]:
    """Open the API server of this kubeconfig."""
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as api_client:
        yield Api(api_client)
