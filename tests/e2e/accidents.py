"""What can happen to a site's data: a slot, the volume or some time is lost, by accident or by a person's hand."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hack.common.command import run
from hack.demo.mesh import Mesh, condition
from hack.demo.site import Site
from hack.demo.waiting import wait_for
from tests.e2e.meshes import folder_of_volume, without_node

STOPPED_SECONDS = 180
FROZEN_SECONDS = 10


def lose_slot(keeper: Site, peer_number: int) -> None:
    """Drop what a site keeps for a peer, as by hand; what it writes until there is a new slot is kept for nobody."""
    slot = keeper.administer(f"select slot_name from multiserver.peer_slots where peer_number = {peer_number}")
    wait_for(
        f"{keeper.name} has lost its slot {slot}",
        lambda: keeper.administer(
            f"select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = '{slot}';"
            f"select pg_drop_replication_slot('{slot}')"
        ),
        until=lambda _: True,
        timeout_seconds=STOPPED_SECONDS,
    )


def lose_volume(mesh: Mesh, name: str) -> None:
    """Delete a site's data volume and, since only that keeps it, its pod."""
    mesh.kubectl("delete", "pvc", _data(mesh, name), "--wait=false")
    mesh.kubectl("delete", "pod", f"{mesh.name}-{name}-0", "--wait=false")


@contextmanager
def stopped(mesh: Mesh, name: str) -> Iterator[Path]:
    """As long as the block runs, a site has no server; gives where its data volume is."""
    with without_node(mesh, name):
        mesh.wait_until(
            f"{name} is stopped",
            lambda status: f"{name}: no node takes its pod" in condition(status, "Ready").get("message", ""),
            timeout_seconds=STOPPED_SECONDS,
        )
        yield folder_of_volume(mesh, _data(mesh, name))


def put_back(mesh: Mesh, name: str, earlier: Path) -> None:
    """Have a site's volume hold what it held earlier: its database is put back in time."""
    with stopped(mesh, name) as data:
        empty(data)
        run(["cp", "--archive", f"{earlier}/.", str(data)])


def snapshot(mesh: Mesh, name: str) -> Path:
    """Copy a site's data volume while its server runs, and give where the copy is, beside the volume.

    The local cluster's volumes are folders, of which there are no snapshots. All processes of the database stand still
    while it is copied, so the copy is of one moment and its database has to recover as after a crash, like a
    snapshot's. Other than in one, everything is there that was written and not yet made durable: so it looks when
    processes are killed, not when the power fails.
    """
    data = folder_of_volume(mesh, _data(mesh, name))
    copy = data.with_name(f"{data.name}-snapshot")
    shutil.rmtree(copy, ignore_errors=True)
    with _frozen(mesh, name):
        run(["cp", "--archive", str(data), str(copy)])
    return copy


def restore(mesh: Mesh, name: str, copy: Path) -> None:
    """Give a site a new volume that holds a copy, as docs/a-sites-life.md says: one that waits for its claim."""
    claim = _data(mesh, name)
    bound = json.loads(mesh.kubectl("get", "pvc", claim, "-o", "json"))["spec"]["volumeName"]
    volume = json.loads(mesh.kubectl("get", "pv", bound, "-o", "json"))
    volume["metadata"] = {
        "name": f"{mesh.namespace}-{name}-{copy.stat().st_ino}",
        # So the provisioner removes it with the cluster, as one of its own.
        "annotations": volume["metadata"]["annotations"],
    }
    volume["spec"]["hostPath"]["path"] = str(copy)
    volume["spec"]["claimRef"] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": mesh.namespace,
        "name": claim,
    }
    mesh.kubectl("apply", "-f", "-", stdin=json.dumps(volume))
    lose_volume(mesh, name)


def incarnation(site: Site) -> str:
    """Name the present unbroken history of a site's log."""
    return site.administer("select incarnation from multiserver.site_settings")


def birth(keeper: Site, peer_number: int) -> str:
    """Name the slot that a site has for a peer."""
    return keeper.administer(f"select birth from multiserver.slots where peer_number = {peer_number}")


def empty(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def _data(mesh: Mesh, name: str) -> str:
    return f"{mesh.name}-{name}-data"


@contextmanager
def _frozen(mesh: Mesh, name: str) -> Iterator[None]:
    """As long as the block runs, no process of a site's database does anything."""
    pod = json.loads(mesh.kubectl("get", "pod", f"{mesh.name}-{name}-0", "-o", "json"))
    statuses = pod["status"]["containerStatuses"]
    container = next(one["containerID"] for one in statuses if one["name"] == "postgres").rpartition("/")[2]
    stopped: set[int] = set()
    try:
        wait_for(
            f"{name}'s database stands still",
            lambda: _stop_running(container, stopped),
            until=lambda running: not running,
            timeout_seconds=FROZEN_SECONDS,
            pause_seconds=0.01,
        )
        yield
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def _stop_running(container: str, stopped: set[int]) -> set[int]:
    """Stop the processes of a container that run, and give them: each may just have started another."""
    running = set(_running(container))
    for process in running:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
    stopped |= running
    return running


def _running(container: str) -> Iterator[int]:
    """Give the processes of a container on this machine that do not stand still, by their control group."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if container in (folder / "cgroup").read_text() and state not in "TZX":
                yield int(folder.name)
