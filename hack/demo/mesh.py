"""A MultiServerCluster on a Kubernetes, as its administrator has it: applied, waited for, read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.demo.kubernetes import CHECKOUT, Kubernetes
from hack.demo.reading import read_cluster
from hack.demo.site import Site
from hack.demo.waiting import wait_for

EXAMPLE = CHECKOUT / "examples" / "04-demo.yaml"
READY_SECONDS = 300

Status = dict[str, Any]


@dataclass(frozen=True)
class Mesh:
    """One cluster: the resource as it is applied, and where."""

    kubernetes: Kubernetes
    manifest: Mapping[str, Any]

    @classmethod
    def of_example(cls, kubernetes: Kubernetes, namespace: str, example: Path = EXAMPLE) -> "Mesh":
        """Take the resource of an example file."""
        manifest = yaml.safe_load(example.read_text())
        manifest["metadata"]["namespace"] = namespace
        return cls(kubernetes, manifest)

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return str(self.manifest["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Namespace of the cluster."""
        return str(self.manifest["metadata"]["namespace"])

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites in the order of the resource; without server numbers in it, the first is the schema site."""
        listed = self.manifest["spec"]["sites"]
        return tuple(Site(self.kubernetes, self.namespace, self.name, site["name"]) for site in listed)

    def kubectl(self, *arguments: str, stdin: str = "", timeout_seconds: float = 120) -> str:
        """Run kubectl in the cluster's namespace."""
        return self.kubernetes.kubectl("-n", self.namespace, *arguments, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self) -> None:
        """Apply the resource, in a namespace that is made if it is not there."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([namespace, dict(self.manifest)]))

    def patch(self, spec: Mapping[str, Any]) -> None:
        """Change a part of the specification, by a merge patch."""
        self.kubectl("patch", "msc", self.name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def resource(self) -> dict[str, Any]:
        """Give the resource as the API server has it."""
        return read_cluster(self.kubernetes.kubeconfig, self.namespace, self.name)

    def status(self) -> Status:
        """Give its status; empty as long as the present generation has none."""
        resource = self.resource()
        status: Status = resource.get("status", {})
        return status if status.get("observedGeneration") == resource["metadata"]["generation"] else {}

    def wait_until(self, what: str, holds: Callable[[Status], bool], timeout_seconds: float = READY_SECONDS) -> Status:
        """Wait until the status is as wanted, and give it. Raises NotSeenError."""
        return wait_for(f"{self.name}: {what}", self.status, until=holds, timeout_seconds=timeout_seconds)

    def wait_until_healthy(self, timeout_seconds: float = READY_SECONDS) -> Status:
        """Wait until all sites serve, as declared, and exchange rows and files. Raises NotSeenError."""
        return self.wait_until("all sites serve and hear each other", is_healthy, timeout_seconds)


def condition(status: Status, name: str) -> dict[str, Any]:
    """Give a condition; empty if there is none of this type."""
    return next((item for item in status.get("conditions", []) if item["type"] == name), {})


def is_healthy(status: Status) -> bool:
    """Tell whether nothing is to do, all sites serve, and rows and files flow."""
    wanted = {"Ready": "True", "Reconciling": "False", "Stalled": "False", "ReplicationHealthy": "True"}
    wanted |= {"FilesInSync": "True"}
    return all(condition(status, name).get("status") == value for name, value in wanted.items())


def site_status(status: Status, name: str) -> dict[str, Any]:
    """Give what is told of a site; empty if nothing is."""
    return next((site for site in status.get("sites", []) if site["name"] == name), {})


def viewpoint(status: Status, observer: str, peer: str) -> dict[str, Any]:
    """Give how a site sees a peer; empty if nothing is told of it."""
    peers = site_status(status, observer).get("peers", [])
    return next((told for told in peers if told["name"] == peer), {})
