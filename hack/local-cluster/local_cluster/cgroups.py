"""The control groups of a cluster's pods, on machines with cgroup v2, v1, or both."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from local_cluster.errors import LocalClusterError
from local_cluster.places import Cluster
from local_cluster.processes import KILL_TIMEOUT_SECONDS, wait_until

ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


def ensure(cluster: Cluster) -> None:
    """Make the cluster's control group in every hierarchy; the kubelet makes those of the pods below it."""
    for hierarchy in hierarchies():
        _delegate_controllers(hierarchy)
        group = hierarchy / cluster.unique_name
        group.mkdir(exist_ok=True)
        _inherit_cpus(hierarchy, group)


def hierarchies() -> list[Path]:
    """Return the roots of all control group hierarchies: one with cgroup v2, several with v1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(path for path in ROOT.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink())


def kill_all(cluster: Cluster) -> None:
    """Kill every process of the cluster's pods. Raises LocalClusterError if some do not end."""

    def all_ended() -> bool:
        pids = set(_pids(cluster))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    if not wait_until(all_ended, KILL_TIMEOUT_SECONDS):
        raise LocalClusterError(f"processes of pods of {cluster.name} do not end: {sorted(set(_pids(cluster)))}")


def remove(cluster: Cluster) -> None:
    """Remove the cluster's control groups; nothing may run in them any more."""
    for group in _groups(cluster):
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        group.rmdir()


def _groups(cluster: Cluster) -> list[Path]:
    groups = [hierarchy / cluster.unique_name for hierarchy in hierarchies()]
    return [group for group in groups if group.exists()]


def _pids(cluster: Cluster) -> Iterator[int]:
    for group in _groups(cluster):
        for file in group.rglob("cgroup.procs"):
            with suppress(OSError):  # a group that has been removed meanwhile
                yield from (int(line) for line in file.read_text().split())


def _delegate_controllers(hierarchy: Path) -> None:
    """With cgroup v2, a group has only those controllers which its parent hands down."""
    available = hierarchy / "cgroup.controllers"
    if hierarchy == ROOT and available.exists():
        handed_down = [f"+{name}" for name in V2_CONTROLLERS if name in available.read_text().split()]
        (hierarchy / "cgroup.subtree_control").write_text(" ".join(handed_down))


def _inherit_cpus(hierarchy: Path, group: Path) -> None:
    """With cgroup v1, a new cpuset is empty and takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        source, target = hierarchy / name, group / name
        if source.exists() and target.exists() and not target.read_text().strip():
            target.write_text(source.read_text())
