"""Bringing one Kubernetes up, from whatever is there of it, and taking it down without a trace."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from hack.common.progress import say, step
from local_cluster import cgroups, components, config, files, identities, mounts, network, pki, processes, runtime
from local_cluster.api import Api
from local_cluster.builds import Builds
from local_cluster.components import KUBERNETES_PROGRAMS, Component
from local_cluster.errors import LocalClusterError
from local_cluster.places import Cluster

READY_TIMEOUT_SECONDS = 180.0
MANIFESTS = Path(__file__).parent / "manifests"
CNI_PROGRAMS = ("ptp", "host-local", "loopback")


def up(cluster: Cluster, builds: Builds, *, in_memory: bool = False) -> None:
    """Bring the cluster to life and wait until it is ready; quick if it is already. A new one may be in memory.

    Every step looks at what is there and makes only what is missing, so it does not matter how far an earlier run
    came or what has died since.
    """
    began = datetime.now(UTC)
    if in_memory:
        mounts.hold_in_memory(cluster.folder)
    if not (network.exists(cluster) and pki.is_made(cluster.pki, identities.of(cluster))):
        _end_everything(cluster)
        pki.make(cluster.pki, identities.of(cluster))
    network.ensure(cluster)
    cgroups.ensure(cluster)
    link_programs(cluster, builds)
    write_config(cluster)
    started = [*_start(components.foundation(cluster), cluster)]
    api = Api(cluster)
    started += _start([components.api_server(cluster)], cluster)
    if started:
        say(f"{cluster.name}: started {', '.join(started)}")
    runtime.wait(cluster)
    for archive in builds.archives:
        runtime.load(cluster, archive)
    _wait_ready(cluster, "API server", "kube-apiserver", api.ready)
    api.apply(_manifests("volumes.yaml"))
    workers = _start(components.workers(cluster), cluster)
    if workers:
        say(f"{cluster.name}: started {', '.join(workers)}")
    kubelet_started_at = began if "kubelet" in workers else None
    _wait_ready(cluster, "node", "kubelet", lambda: api.node_ready(kubelet_started_at))
    _wait_ready(cluster, "DNS server", "coredns", api.dns_ready)
    _wait_ready(cluster, "Service proxy", "kube-proxy", api.proxy_ready)
    _wait_ready(cluster, "controllers", "kube-controller-manager", api.default_service_account_exists)


def down(cluster: Cluster) -> None:
    """Remove the cluster with its pods, volumes and images; what was half made or half removed goes too."""
    with step(f"{cluster.name}: remove"):
        _end_everything(cluster)
        runtime.kill_shims(cluster)
        mounts.detach_below(cluster.folder)
        runtime.remove_traces(cluster)
        cgroups.remove(cluster)
        network.remove(cluster)
        runtime.remove_files(cluster)


def link_programs(cluster: Cluster, builds: Builds) -> None:
    """Give the cluster its own links to all programs: processes are recognised by them."""
    for name in KUBERNETES_PROGRAMS:
        files.link(cluster.programs / name, builds.kubernetes)
    files.link(cluster.programs / "local-path-provisioner", builds.volumes)
    files.link(cluster.programs / "site-address", builds.site_address)
    files.link(cluster.programs / "containerd", Path("/usr/bin/containerd"))
    for name in CNI_PROGRAMS:
        files.link(cluster.programs / name, config.CNI_PLUGINS / name)
    files.link(cluster.checkout.kubectl, builds.kubernetes)


def write_config(cluster: Cluster) -> None:
    """Write all configuration files, leaving alone those that are right."""
    cluster.volumes.mkdir(exist_ok=True)
    for path, content in config.render(cluster).items():
        if not path.exists() or path.read_text() != content:
            files.write(path, content, 0o600)


def _end_everything(cluster: Cluster) -> None:
    """Kill all components, then all pods' processes, which nobody starts again now.

    Before `up`, this is for pods that outlived their cluster's network namespace, and have no cable any more, or its
    keys, and hold tokens that nobody believes; their kubelet would not know.
    """
    processes.kill(process for found in processes.running(cluster).values() for process in found)
    cgroups.kill_all(cluster)


def _start(wanted: list[Component], cluster: Cluster) -> list[str]:
    return [component.name for component in wanted if processes.ensure(component, cluster)]


def _wait_ready(cluster: Cluster, what: str, component: str, ready: Callable[[], bool]) -> None:
    """Wait for a part of the cluster. Raises LocalClusterError with its log if it dies or takes too long."""

    def ready_or_dead() -> bool:
        return ready() or component not in processes.running(cluster)

    if ready():
        return
    with step(f"{cluster.name}: wait for the {what}"):
        in_time = processes.wait_until(ready_or_dead, READY_TIMEOUT_SECONDS)
    if not in_time or component not in processes.running(cluster):
        problem = "ended" if in_time else f"was not ready in {READY_TIMEOUT_SECONDS:.0f} s"
        raise LocalClusterError(
            f"{cluster.name}: {component} {problem}. Its log {cluster.logs / f'{component}.log'} ends with\n"
            f"{processes.log_tail(cluster, component)}\n"
            f"Run `up {cluster.name}` again; if that does not help, `down {cluster.name}` and `up {cluster.name}`."
        )


def _manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))
