"""Clusters for tests: each in a namespace of its own, all gone when the session ends."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hack.demo.kubernetes import Kubernetes
from hack.demo.mesh import Mesh
from hack.demo.site import Site

LABEL = "multiserver-e2e"
"""On every namespace that the tests make: the session that made it."""


@dataclass
class Namespaces:
    """The namespaces of one session; those that this process made."""

    kubernetes: Kubernetes
    session: str
    made: list[str] = field(default_factory=list)

    def make(self, purpose: str) -> str:
        name = f"e2e-{purpose}-{self.session}"
        self.made.append(name)
        self.kubernetes.kubectl("create", "namespace", name)
        self.kubernetes.kubectl("label", "namespace", name, f"{LABEL}={self.session}")
        return name

    def remove(self, names: Sequence[str]) -> None:
        """Remove these; their pods end in the background."""
        if names:
            self.kubernetes.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *names)

    def remove_those_of_other_sessions(self) -> None:
        """Remove what interrupted sessions left; their pods end in the background."""
        self.kubernetes.kubectl("delete", "namespace", "-l", f"{LABEL},{LABEL}!={self.session}", "--wait=false")


def a_mesh(kubernetes: Kubernetes, namespace: str, sites: Sequence[str], spec: Mapping[str, Any]) -> Mesh:
    """The demo's cluster with other sites, and with parts of its specification replaced.

    Unless the specification says otherwise, backups are made only when a test asks for one, whatever the hour is, and
    sites ask for little of the one node that all clusters share.
    """
    mesh = Mesh.of_example(kubernetes, namespace)
    manifest = copy.deepcopy(dict(mesh.manifest))
    on_demand = {"backup": {"schedule": dict.fromkeys(("data", "files"), in_half_a_year())}}
    little = {part: {"resources": {"requests": {"cpu": "5m"}}} for part in ("database", "files")}
    change = merged(on_demand | little, {"sites": [{"name": site} for site in sites], **spec})
    manifest["spec"] = merged(manifest["spec"], change)
    return Mesh(kubernetes, manifest)


def in_half_a_year() -> str:
    """A schedule that is not due while the tests run."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return f"0 0 1 {month} *"


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Give the base with the change: maps are merged, all else is replaced."""
    result = dict(base)
    for key, value in change.items():
        both_maps = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        result[key] = merged(base[key], value) if both_maps else value
    return result


def site(mesh: Mesh, name: str) -> Site:
    return next(one for one in mesh.sites if one.name == name)


@contextmanager
def without_node(mesh: Mesh, name: str) -> Iterator[None]:
    """As long as the block runs, a site asks for a node that is not there."""
    nowhere = {"nodeSelector": {"building": "cellar"}}
    declared = mesh.manifest["spec"]["sites"]
    mesh.patch({"sites": [{**one, "placement": nowhere} if one["name"] == name else one for one in declared]})
    try:
        yield
    finally:
        mesh.patch({"sites": declared})


def end(mesh: Mesh, name: str) -> str:
    """A site as the local cluster's tool names it."""
    return f"{mesh.namespace}/{name}"


def with_sites(mesh: Mesh, *names: str) -> Mesh:
    """Declare these sites, and give the cluster as it is declared then."""
    mesh.patch({"sites": [{"name": name} for name in names]})
    manifest = copy.deepcopy(dict(mesh.manifest))
    manifest["spec"]["sites"] = [{"name": name} for name in names]
    return Mesh(mesh.kubernetes, manifest)


def folder_of_volume(mesh: Mesh, claim: str) -> Path:
    """Where the local cluster keeps a volume on this machine."""
    volume = mesh.kubectl("get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}")
    spec = json.loads(mesh.kubectl("get", "pv", volume, "-o", "json"))["spec"]
    return Path((spec.get("hostPath") or spec["local"])["path"])
