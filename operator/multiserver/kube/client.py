"""The API server as the control loop uses it: apply, create once, delete, list. Plain dictionaries in and out.

One client is shared by all; every call has a deadline and raises the errors of `errors`, nothing else.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio import client as official
from kubernetes.aio import config
from kubernetes.aio.dynamic import DynamicClient

from multiserver.api.names import CLUSTER_LABEL, MANAGER
from multiserver.kube.drift import drift, marked
from multiserver.kube.errors import ConflictError, NameTakenError, NotFoundError, UnreachableError, translated
from multiserver.kube.kinds import CHILD_KINDS, api_version, path

Object = dict[str, Any]

_CALL_SECONDS = 10.0
_LIST_SECONDS = 30.0


@dataclass(frozen=True)
class Applied:
    """What `Kubernetes.apply` did."""

    live: Object
    """The object as it is now."""
    drift: str
    """Where it differed before, for example `spec.replicas`; empty if nothing was written."""


@asynccontextmanager
async def connect(kubeconfig: Path | None = None) -> AsyncIterator["Kubernetes"]:
    """Open the client: by a kubeconfig file; without one as a pod's ServiceAccount, or else by the user's own file.

    Raises UnreachableError if neither is there or readable.
    """
    configuration = official.Configuration()
    # Whether the API server's certificate has the optional extensions that strict checks want is not ours to choose.
    configuration.disable_strict_ssl_verification = True
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            file = str(kubeconfig) if kubeconfig else None
            await config.load_kube_config(config_file=file, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise UnreachableError(f"no way to the API server is known: {error}") from error
    async with official.ApiClient(configuration) as api_client:
        yield Kubernetes(api_client)


class Kubernetes:
    """The API server."""

    def __init__(self, api_client: official.ApiClient) -> None:
        # Never awaited: awaiting it would discover all kinds and cache them in a file shared by all users.
        self._dynamic = DynamicClient(api_client)

    async def get(self, kind: str, namespace: str | None, name: str) -> Object:
        """Read an object. Raises NotFoundError if it does not exist."""
        return await self._call(f"read {kind} {name}", "get", path(kind, namespace, name))

    async def find(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """Read an object; None if it does not exist."""
        try:
            return await self.get(kind, namespace, name)
        except NotFoundError:
            return None

    async def list_kind(
        self, kind: str, namespace: str | None = None, *, labels: Mapping[str, str] | None = None, fields: str = ""
    ) -> list[Object]:
        """List the objects of a kind, in one namespace or in all, straight from the store."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        query = {"label_selector": selector or None, "field_selector": fields or None}
        answer = await self._call(f"list {kind}s", "get", path(kind, namespace), seconds=_LIST_SECONDS, **query)
        return [{"apiVersion": api_version(kind), "kind": kind, **item} for item in answer["items"]]

    async def list_owned(self, namespace: str, cluster: str) -> list[Object]:
        """List all children of a cluster and its pods: whatever carries its label, whoever made it."""
        labels = {CLUSTER_LABEL: cluster}
        found = await asyncio.gather(*(self.list_kind(kind, namespace, labels=labels) for kind in CHILD_KINDS))
        return [item for items in found for item in items]

    async def list_warnings(self, namespace: str) -> list[Object]:
        """List the Warning events of a namespace."""
        return await self.list_kind("Event", namespace, fields="type=Warning")

    async def apply(self, desired: Object, live: Object | None = None) -> Applied:
        """Make the object as wanted, if it is not. `live` is what was listed; without it the object is read first.

        Raises NameTakenError if an object of this name is not the same cluster's, RefusedError if the API server
        refuses the object, and ConflictError if `desired` has a uid and that object is gone.
        """
        kind, metadata = desired["kind"], desired["metadata"]
        live = live or await self.find(kind, metadata["namespace"], metadata["name"])
        if live is not None:
            _check_owner(desired, live)
        difference = drift(desired, live) if live is not None else "it did not exist"
        if live is not None and not difference:
            return Applied(live, "")
        return Applied(await self._apply(marked(desired)), difference)

    async def apply_status(self, cluster: Mapping[str, Any], status: Object) -> Object:
        """Write the status of exactly this resource; the fields that are left out are removed.

        Raises NotFoundError if it is gone, and ConflictError if another has its name now, or if it changed just then:
        what is told of one must not bind another, which may have other sites.
        """
        kind, metadata = cluster["kind"], cluster["metadata"]
        live = (await self.get(kind, metadata["namespace"], metadata["name"]))["metadata"]
        if live["uid"] != metadata["uid"]:
            raise ConflictError(f"cannot write the status of {kind} {metadata['name']}: it was deleted and made anew")
        # A uid would not do: the API server looks at none where only the status is written.
        head = {key: live[key] for key in ("name", "namespace", "resourceVersion")}
        body = {"apiVersion": cluster["apiVersion"], "kind": kind, "metadata": head, "status": status}
        return await self._apply(body, "status")

    async def create_once(self, wanted: Object) -> bool:
        """Create an object unless it exists; tell whether it was created. What exists is never changed.

        Raises NameTakenError if an object of this name is not the same cluster's.
        """
        kind, metadata = wanted["kind"], wanted["metadata"]
        try:
            await self.create(wanted)
        except ConflictError:
            _check_owner(wanted, await self.get(kind, metadata["namespace"], metadata["name"]))
            return False
        return True

    async def create(self, wanted: Object) -> Object:
        """Create an object. Raises ConflictError if it exists."""
        metadata = wanted["metadata"]
        action = f"create {wanted['kind']} {metadata.get('name') or metadata['generateName']}"
        place = path(wanted["kind"], metadata.get("namespace"))
        return await self._call(action, "post", place, body=wanted, field_manager=MANAGER)

    async def replace(self, wanted: Object) -> Object:
        """Write a whole object. Raises ConflictError if it is not the version (resourceVersion) that was read."""
        metadata = wanted["metadata"]
        place = path(wanted["kind"], metadata.get("namespace"), metadata["name"])
        action = f"replace {wanted['kind']} {metadata['name']}"
        return await self._call(action, "put", place, body=wanted, field_manager=MANAGER)

    async def delete(self, live: Mapping[str, Any]) -> None:
        """Delete exactly this object; nothing happens if it is gone. Raises ConflictError if another has its name."""
        kind, metadata = live["kind"], live["metadata"]
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": metadata["uid"]},
            "propagationPolicy": "Background",
        }
        place = path(kind, metadata.get("namespace"), metadata["name"])
        try:
            await self._call(f"delete {kind} {metadata['name']}", "delete", place, body=options)
        except NotFoundError:
            return

    async def _apply(self, body: Object, subresource: str | None = None) -> Object:
        kind, metadata = body["kind"], body["metadata"]
        return await self._call(
            f"apply {kind} {metadata['name']}",
            "patch",
            path(kind, metadata.get("namespace"), metadata["name"], subresource),
            body=body,
            content_type="application/apply-patch+yaml",
            field_manager=MANAGER,
            force_conflicts=True,
        )

    async def _call(
        self, action: str, method: str, place: str, *, seconds: float = _CALL_SECONDS, **parameters: Any
    ) -> Object:
        async with translated(action, seconds):
            answer: Object = await self._dynamic.request(method, place, serializer=_plain, **parameters)
            return answer


def _plain(_client: DynamicClient, data: Object) -> Object:
    return data


def _check_owner(desired: Object, live: Object) -> None:
    """Refuse to touch an object that is not the same cluster's. Raises NameTakenError."""
    cluster = desired["metadata"]["labels"][CLUSTER_LABEL]
    owner = live["metadata"].get("labels", {}).get(CLUSTER_LABEL)
    if owner == cluster:
        return
    name = f"{live['kind']} {live['metadata']['namespace']}/{live['metadata']['name']}"
    whose = f"belongs to the cluster {owner}" if owner else "was not made by this operator"
    raise NameTakenError(
        f"{name} exists and {whose}: choose another name for {cluster} or its site, remove that object, "
        f"or hand it over with the label {CLUSTER_LABEL}={cluster}"
    )
