"""The clusters' networks: one namespace each, one bridge for a checkout, and routes that lead nowhere else."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path

from hack.common.command import CommandFailed, run, succeeds
from hack.common.lock import file_lock
from local_cluster import mounts, rules
from local_cluster.addresses import ALL_NETWORKS, Table
from local_cluster.errors import LocalClusterError
from local_cluster.places import MACHINE_FOLDER, Checkout, Cluster

COMMAND_TIMEOUT_SECONDS = 30.0
NODE_DEVICE = "eth0"
NAMESPACES = Path("/run/netns")
_BETWEEN_THREADS = threading.Lock()


def inside(cluster: Cluster) -> list[str]:
    """Return the words before a command that make it run in the cluster's network namespace.

    Not `ip netns exec`: that mounts /sys anew, and the control groups below it would be hidden.
    """
    return ["nsenter", f"--net={cluster.network_namespace}"]


def ensure(cluster: Cluster) -> None:
    """Make the cluster's network and what it needs of the machine's, whatever of it is there."""
    with _changing_what_is_shared():
        _ensure_blackholes()
        _ensure_bridge(cluster)
        if not exists(cluster):
            _make_namespace(cluster)
    _ensure_cable(cluster)
    _in_namespace(cluster, "ip", "link", "set", "lo", "up")
    _in_namespace(cluster, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    nft(rules.node(cluster.addresses.pods), cluster)
    for network in (cluster.addresses.pods, cluster.addresses.services):
        _ip("route", "replace", str(network), "via", str(cluster.addresses.node), "dev", cluster.checkout.bridge)


def exists(cluster: Cluster) -> bool:
    """Tell whether the cluster has its namespace, a living one."""
    return cluster.network_namespace.exists() and succeeds([*inside(cluster), "true"])


def namespace_id(cluster: Cluster) -> int | None:
    """Return the number by which the kernel knows the cluster's namespace; None if there is none."""
    return cluster.network_namespace.stat().st_ino if cluster.network_namespace.exists() else None


def remove(cluster: Cluster) -> None:
    """Remove the cluster's network; what is shared with others stays."""
    for network in (cluster.addresses.pods, cluster.addresses.services):
        _ip_if_there("route", "del", str(network), "dev", cluster.checkout.bridge)
    _ip_if_there("link", "del", cluster.bridge_port)
    if cluster.network_namespace.exists():
        _ip("netns", "del", cluster.unique_name)


def remove_shared(checkout: Checkout, read_table: Callable[[], Table]) -> None:
    """Remove the checkout's bridge if it has no clusters left, and the machine's part if nobody has any.

    The table is read under the lock: a cluster that is in it only now makes its network afterwards.
    """
    with _changing_what_is_shared():
        table = read_table()
        if checkout.id not in table:
            _remove_bridge(checkout)
        if not table:
            _remove_machines_part()


def _remove_bridge(checkout: Checkout) -> None:
    for family in ("inet", "bridge"):
        with suppress(CommandFailed):
            nft(f"delete table {family} {checkout.bridge}")
    _ip_if_there("link", "del", checkout.bridge)


def _remove_machines_part() -> None:
    for network in ALL_NETWORKS:
        _ip_if_there("route", "del", "blackhole", str(network))
    mounts.detach_empty(NAMESPACES)  # the machine's first `ip netns add` had mounted it on itself


def nft(text: str, cluster: Cluster | None = None) -> None:
    """Apply rules: in the cluster's namespace, or else on the machine."""
    prefix = inside(cluster) if cluster else []
    run([*prefix, "nft", "-f", "-"], stdin=text, timeout_seconds=COMMAND_TIMEOUT_SECONDS)


def foreign_routes(listing: str) -> list[str]:
    """Return those routes in `ip -j route` that lead our networks' addresses somewhere else."""
    foreign = []
    for route in json.loads(listing):
        if route["dst"] == "default" or ":" in route["dst"]:
            continue
        own = route.get("type") == "blackhole" or route.get("dev", "").startswith("ms-")
        overlaps = any(IPv4Network(route["dst"]).overlaps(network) for network in ALL_NETWORKS)
        if overlaps and not own:
            foreign.append(f"{route['dst']} dev {route.get('dev', '?')}")
    return foreign


@contextmanager
def _changing_what_is_shared() -> Iterator[None]:
    """Keep out the other clusters, of this process and of others, that make or remove what all share."""
    with _BETWEEN_THREADS, file_lock(MACHINE_FOLDER / "network.lock"):
        yield


def _ensure_blackholes() -> None:
    """Lead the addresses of clusters that are not there nowhere; without this they would follow the default route."""
    foreign = foreign_routes(_ip("-j", "route", "show"))
    if foreign:
        networks = ", ".join(str(network) for network in ALL_NETWORKS)
        raise LocalClusterError(
            f"this machine uses some of the clusters' addresses ({networks}) itself: route {'; '.join(foreign)}. "
            "Remove that route, or change the networks in hack/local-cluster/local_cluster/addresses.py"
        )
    for network in ALL_NETWORKS:
        _ip("route", "replace", "blackhole", str(network))


def _ensure_bridge(cluster: Cluster) -> None:
    bridge = cluster.checkout.bridge
    nft(rules.keep_inside(bridge))
    if not _device_exists(bridge):
        _ip("link", "add", bridge, "type", "bridge")
    network = cluster.addresses.bridge_network
    _ip("addr", "replace", f"{cluster.addresses.machine}/{network.prefixlen}", "dev", bridge)
    _ip("link", "set", bridge, "up")


def _make_namespace(cluster: Cluster) -> None:
    if cluster.network_namespace.exists():  # a file whose mount is gone, since the machine was restarted
        _ip("netns", "del", cluster.unique_name)
    _ip("netns", "add", cluster.unique_name)


def _ensure_cable(cluster: Cluster) -> None:
    plugged_in = succeeds(["ip", "-n", cluster.unique_name, "link", "show", NODE_DEVICE])
    if not plugged_in:
        _ip_if_there("link", "del", cluster.bridge_port)
        node_end = ("peer", "name", NODE_DEVICE, "netns", cluster.unique_name)
        _ip("link", "add", cluster.bridge_port, "type", "veth", *node_end)
    _ip("link", "set", cluster.bridge_port, "master", cluster.checkout.bridge, "up")
    address = f"{cluster.addresses.node}/{cluster.addresses.bridge_network.prefixlen}"
    _ip("-n", cluster.unique_name, "addr", "replace", address, "dev", NODE_DEVICE)
    _ip("-n", cluster.unique_name, "link", "set", NODE_DEVICE, "up")


def _device_exists(name: str) -> bool:
    return (Path("/sys/class/net") / name).exists()


def _in_namespace(cluster: Cluster, *command: str) -> str:
    return run([*inside(cluster), *command], timeout_seconds=COMMAND_TIMEOUT_SECONDS)


def _ip(*arguments: str) -> str:
    return run(["ip", *arguments], timeout_seconds=COMMAND_TIMEOUT_SECONDS)


def _ip_if_there(*arguments: str) -> None:
    """Run an `ip ... del` whose object may be gone already; in that case it fails and there is nothing to do."""
    with suppress(CommandFailed):
        _ip(*arguments)
