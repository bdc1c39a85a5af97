"""Starting, finding and stopping the clusters' processes. /proc is asked each time, so no pid file can be wrong.

A process belongs to a cluster if the first word of its command line is a link in the cluster's `bin` folder. With
which configuration it was started stands in its environment.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local_cluster.components import Component
from local_cluster.errors import LocalClusterError
from local_cluster.network import inside, namespace_id
from local_cluster.places import Cluster

FINGERPRINT = "LOCAL_CLUSTER_FINGERPRINT"
# Not the caller's: container runtime and network plugins look for their helpers here.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STOP_TIMEOUT_SECONDS = 10.0
KILL_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Process:
    """A running process, as /proc shows it."""

    pid: int
    arguments: tuple[str, ...]
    fingerprint: str
    network_namespace_id: int

    @property
    def name(self) -> str:
        """The program it was called as."""
        return Path(self.arguments[0]).name


def running(cluster: Cluster) -> dict[str, list[Process]]:
    """Return the cluster's processes by component; more than one of a name should not be, but may."""
    found: dict[str, list[Process]] = {}
    for process in all_processes():
        if Path(process.arguments[0]).parent == cluster.programs:
            found.setdefault(process.name, []).append(process)
    return found


def is_current(process: Process, component: Component, cluster: Cluster) -> bool:
    """Tell whether a process is what `up` would start now: same configuration, in the cluster's namespace."""
    same_network = process.network_namespace_id == namespace_id(cluster)
    return same_network and process.fingerprint == component.fingerprint(cluster)


def ensure(component: Component, cluster: Cluster) -> bool:
    """Have exactly one process of the component, with its current configuration; tell whether one was started."""
    found = running(cluster).get(component.name, [])
    if len(found) == 1 and is_current(found[0], component, cluster):
        return False
    stop(found)
    _start(component, cluster)
    return True


def stop(processes: Iterable[Process]) -> None:
    """End processes: politely, and after a while by force."""
    left = signal_all(processes, signal.SIGTERM)
    if not wait_until(lambda: not _alive(left), STOP_TIMEOUT_SECONDS):
        kill(left)


def kill(processes: Iterable[Process]) -> None:
    """End processes by force. Raises LocalClusterError if the kernel does not let one go."""
    left = signal_all(processes, signal.SIGKILL)
    if not wait_until(lambda: not _alive(left), KILL_TIMEOUT_SECONDS):
        names = ", ".join(f"{process.name} (pid {process.pid})" for process in _alive(left))
        raise LocalClusterError(f"{names} did not end {KILL_TIMEOUT_SECONDS:.0f} s after being killed; run it again")


def signal_all(processes: Iterable[Process], number: signal.Signals) -> list[Process]:
    """Send a signal to processes, some of which may be gone; return all of them."""
    processes = list(processes)
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
    return processes


def all_processes() -> Iterator[Process]:
    """Yield every process of the machine that has a command line; one that ends meanwhile is left out."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if process := _read(entry):
                    yield process


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Wait until a condition holds; return whether it did in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def log_tail(cluster: Cluster, name: str) -> str:
    """Return the last lines of a component's log."""
    path = cluster.logs / f"{name}.log"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _start(component: Component, cluster: Cluster) -> None:
    """Start a process that outlives this one, with its log beginning anew."""
    cluster.logs.mkdir(parents=True, exist_ok=True)
    with (cluster.logs / f"{component.name}.log").open("wb") as log:
        subprocess.Popen(
            [*inside(cluster), *component.command(cluster)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cluster.folder,
            env={**os.environ, "PATH": PATH, FINGERPRINT: component.fingerprint(cluster)},
            start_new_session=True,
        )


def _read(entry: Path) -> Process | None:
    arguments = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    if not arguments[0]:  # a kernel thread, or a process that has ended and waits to be collected
        return None
    return Process(
        pid=int(entry.name),
        arguments=tuple(arguments),
        fingerprint=_variable((entry / "environ").read_bytes(), FINGERPRINT),
        network_namespace_id=(entry / "ns" / "net").stat().st_ino,
    )


def _variable(environment: bytes, name: str) -> str:
    for entry in environment.decode(errors="replace").split("\0"):
        key, _, value = entry.partition("=")
        if key == name:
            return value
    return ""


def _alive(processes: Iterable[Process]) -> list[Process]:
    return [process for process in processes if _still(process)]


def _still(process: Process) -> bool:
    with suppress(OSError):
        now = _read(Path("/proc") / str(process.pid))
        return now is not None and now.arguments == process.arguments
    return False
