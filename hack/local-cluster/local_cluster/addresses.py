"""Which addresses each Kubernetes gets: a table for the whole machine, so that two checkouts never share one.

A checkout has a number; it is the third byte of its nodes' network. A Kubernetes has a number too; it is the last
byte of its node's address and the third byte of its pod and service networks. Numbers are the smallest free ones,
given on `up` and returned on `down`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from hack.common.lock import file_lock
from local_cluster import files
from local_cluster.errors import LocalClusterError

NODES = IPv4Network("10.218.0.0/16")
PODS = IPv4Network("10.219.0.0/16")
SERVICES = IPv4Network("10.220.0.0/16")
ALL_NETWORKS = (NODES, PODS, SERVICES)

# A node's last byte: not 0 and 255 (network, broadcast), not 1 (the machine's own address on the bridge).
CLUSTER_NUMBERS = range(2, 255)
CHECKOUT_NUMBERS = range(256)


@dataclass(frozen=True)
class ClusterAddresses:
    """The addresses of one Kubernetes, derived from its two numbers."""

    checkout_number: int
    cluster_number: int

    @property
    def bridge_network(self) -> IPv4Network:
        """The network of all nodes of the checkout."""
        return IPv4Network((int(NODES.network_address) + self.checkout_number * 256, 24))

    @property
    def machine(self) -> IPv4Address:
        """The machine's own address on the checkout's bridge."""
        return self.bridge_network[1]

    @property
    def node(self) -> IPv4Address:
        """The address of the node, of its API server and of its DNS server."""
        return self.bridge_network[self.cluster_number]

    @property
    def pods(self) -> IPv4Network:
        """The network of the pods."""
        return IPv4Network((int(PODS.network_address) + self.cluster_number * 256, 24))

    @property
    def services(self) -> IPv4Network:
        """The network of the Services' cluster addresses."""
        return IPv4Network((int(SERVICES.network_address) + self.cluster_number * 256, 24))

    @property
    def api_service(self) -> IPv4Address:
        """The address of the Service `kubernetes`: always the first one."""
        return self.services[1]


@dataclass(frozen=True)
class CheckoutEntry:
    """What one checkout holds: its number and those of its clusters, by name."""

    path: str
    number: int
    clusters: Mapping[str, int] = field(default_factory=dict)


Table = Mapping[str, CheckoutEntry]


def allocate(table: Table, checkout_id: str, path: str, name: str) -> Table:
    """Return the table in which the checkout holds a cluster of this name; unchanged if it already does."""
    entry = table.get(checkout_id)
    if entry is None:
        entry = CheckoutEntry(path, _smallest_free(CHECKOUT_NUMBERS, {e.number for e in table.values()}))
    if name not in entry.clusters:
        taken = {number for other in table.values() for number in other.clusters.values()}
        number = _smallest_free(CLUSTER_NUMBERS, taken)
        entry = replace(entry, clusters={**entry.clusters, name: number})
    return {**table, checkout_id: entry}


def release(table: Table, checkout_id: str, name: str) -> Table:
    """Return the table without this cluster, and without its checkout if it was the last."""
    entry = table.get(checkout_id)
    if entry is None:
        return table
    clusters = {other: number for other, number in entry.clusters.items() if other != name}
    others = {key: value for key, value in table.items() if key != checkout_id}
    return {**others, checkout_id: replace(entry, clusters=clusters)} if clusters else others


def addresses_of(table: Table, checkout_id: str) -> dict[str, ClusterAddresses]:
    """The addresses of all clusters of a checkout, by name."""
    entry = table.get(checkout_id)
    if entry is None:
        return {}
    return {name: ClusterAddresses(entry.number, number) for name, number in entry.clusters.items()}


def _smallest_free(numbers: range, taken: set[int]) -> int:
    for number in numbers:
        if number not in taken:
            return number
    raise LocalClusterError(
        f"all {len(numbers)} address blocks of this machine are in use; free some with `local-cluster down` in "
        "checkouts that are not needed"
    )


class AddressFile:
    """The table on disk, read and changed under a lock."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "addresses.json"
        self._lock = folder / "addresses.lock"

    def read(self) -> Table:
        """Read the table; empty if no cluster was ever made."""
        if not self._path.exists():
            return {}
        entries = json.loads(self._path.read_text())
        return {key: CheckoutEntry(e["path"], e["number"], e["clusters"]) for key, e in entries.items()}

    def allocate(self, checkout_id: str, path: str, name: str) -> ClusterAddresses:
        """Give a cluster its addresses, or find those which it has."""
        with file_lock(self._lock):
            table = allocate(self.read(), checkout_id, path, name)
            self._write(table)
        return addresses_of(table, checkout_id)[name]

    def release(self, checkout_id: str, name: str) -> None:
        """Return a cluster's addresses."""
        with file_lock(self._lock):
            self._write(release(self.read(), checkout_id, name))

    def _write(self, table: Table) -> None:
        entries = {key: {"path": e.path, "number": e.number, "clusters": dict(e.clusters)} for key, e in table.items()}
        files.write(self._path, json.dumps(entries, indent=2) + "\n")
