"""The container runtime of a cluster: which images it has, loading more, and removing all that it leaves behind."""

import hashlib
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from hack.common.command import run, succeeds
from hack.common.progress import step
from local_cluster.errors import LocalClusterError
from local_cluster.places import Cluster
from local_cluster.processes import all_processes, kill, log_tail, wait_until

START_TIMEOUT_SECONDS = 60.0
LOAD_TIMEOUT_SECONDS = 900.0
QUESTION_TIMEOUT_SECONDS = 30.0
# On an image: the checksum of the archive from which it was loaded.
SOURCE_LABEL = "multiserver.dev/archive"
SHIM_PROGRAM = "containerd-shim"
NETWORK_RESULTS = Path("/var/lib/cni/results")
DEVICE_PLUGINS_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
CONTAINER_LOG_LINKS = Path("/var/log/containers")


def wait(cluster: Cluster) -> None:
    """Wait until the runtime answers."""
    if not wait_until(lambda: succeeds(_ctr(cluster, "version")), START_TIMEOUT_SECONDS):
        raise LocalClusterError(
            f"containerd of {cluster.name} did not answer in {START_TIMEOUT_SECONDS:.0f} s; its log ends with\n"
            + log_tail(cluster, "containerd")
        )


def load(cluster: Cluster, archive: Path) -> None:
    """Load the images of an archive (docker or OCI), unless exactly this archive was loaded before."""
    checksum = _checksum(archive)
    loaded = run(
        _ctr(cluster, "images", "ls", "-q", f'labels."{SOURCE_LABEL}"=={checksum}'),
        timeout_seconds=QUESTION_TIMEOUT_SECONDS,
    )
    if loaded.strip():
        return
    with step(f"{cluster.name}: load {archive.name}"):
        said = run(_ctr(cluster, "images", "import", str(archive)), timeout_seconds=LOAD_TIMEOUT_SECONDS)
        for name in imported_names(said):
            run(
                _ctr(cluster, "images", "label", name, f"{SOURCE_LABEL}={checksum}"),
                timeout_seconds=QUESTION_TIMEOUT_SECONDS,
            )


def imported_names(output: str) -> list[str]:
    """Return the images that `ctr images import` says it has unpacked: `unpacking NAME (DIGEST)...done`."""
    lines = [line.split() for line in output.splitlines()]
    return [words[1] for words in lines if len(words) > 2 and words[0] == "unpacking"]


def kill_shims(cluster: Cluster) -> None:
    """End the processes that hold the containers; containerd must be gone and all containers' processes dead."""
    address = str(cluster.containerd_socket)
    kill(
        process
        for process in all_processes()
        if Path(process.arguments[0]).name.startswith(SHIM_PROGRAM) and address in process.arguments
    )


def remove_traces(cluster: Cluster) -> None:
    """Remove what runtime, network plugins and kubelet keep outside the cluster's folder."""
    for file in (cluster.containerd / "state").glob("*/*/*/address"):
        with suppress(FileNotFoundError):
            Path(file.read_text().strip().removeprefix("unix://")).unlink()
    for result in NETWORK_RESULTS.glob("*"):
        if str(cluster.folder) in result.read_text():
            result.unlink()
    for log_link in CONTAINER_LOG_LINKS.glob("*.log"):
        if log_link.is_symlink() and log_link.readlink().is_relative_to(cluster.folder):
            log_link.unlink()


def remove_kubelet_socket() -> None:
    """Remove the one socket that every kubelet makes at the same place, if no kubelet listens to it any more."""
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(DEVICE_PLUGINS_SOCKET))
        except ConnectionRefusedError:
            DEVICE_PLUGINS_SOCKET.unlink()
            for folder in DEVICE_PLUGINS_SOCKET.parents[:2]:
                if not any(folder.iterdir()):
                    folder.rmdir()


def remove_files(cluster: Cluster) -> None:
    """Remove the cluster's folder."""
    if cluster.folder.exists():
        shutil.rmtree(cluster.folder)


def _ctr(cluster: Cluster, *arguments: str) -> list[str]:
    return ["ctr", "--address", str(cluster.containerd_socket), "--namespace", "k8s.io", *arguments]


def _checksum(archive: Path) -> str:
    with archive.open("rb") as file:
        return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:40]}"
