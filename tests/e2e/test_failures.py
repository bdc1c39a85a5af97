"""What can't be known at apply becomes a condition and an event in plain words, within a minute; other sites go on."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hack.common.command import run
from hack.demo.mesh import Mesh, Status, condition
from hack.demo.site import Site
from hack.demo.waiting import NotSeenError, wait_for
from multiserver.api.names import USER_ID
from tests.e2e.conftest import NewMesh
from tests.e2e.meshes import folder_of_volume, site, without_node

TOLD_SECONDS = 60
REPAIRED_SECONDS = 180


@pytest.fixture
def mesh(mesh: Mesh) -> Mesh:
    """The shared cluster with a table by which sites show that they serve."""
    mesh.sites[0].sql("create table if not exists served (site text, marker text, primary key (site, marker))")
    for one in mesh.sites:
        one.await_sql("select to_regclass('served') is not null", "t")
    return mesh


def test_a_storage_class_that_is_missing(new_mesh: NewMesh) -> None:
    lost = new_mesh("storage", "berlin", database={"storage": {"size": "1Gi", "storageClassName": "fast-disks"}})
    lost.apply()
    cause = 'storageclass.storage.k8s.io "fast-disks" not found'  # The scheduler may say first that there is no volume.
    message = _await_told(lost, "Ready", "SiteNotReady", cause)
    assert "volume clinic-berlin-data cannot be provided" in message


def test_a_node_selector_that_no_node_has(mesh: Mesh) -> None:
    with without_node(mesh, "leipzig"):
        message = _await_told(mesh, "Ready", "SiteNotReady")
        assert "leipzig: no node takes its pod" in message
        _assert_others_serve(mesh, "leipzig")
    mesh.wait_until_healthy(REPAIRED_SECONDS)


def test_an_image_that_cannot_be_pulled_stops_one_site_and_no_other(mesh: Mesh) -> None:
    mesh.patch({"image": "localhost/multiserver/site:does-not-exist"})
    try:
        message = _await_told(mesh, "Ready", "SiteNotReady")
        assert "its image cannot be pulled: check spec.image, spec.imagePullSecrets and the registry" in message
        assert "does-not-exist" in message
        _assert_others_serve(mesh, message.split(":")[0])
    finally:
        mesh.patch({"image": None})
    mesh.wait_until_healthy(REPAIRED_SECONDS)


@pytest.fixture
def unwritable_repository(mesh: Mesh) -> Iterator[Mesh]:
    """Leipzig's backup repository belongs to root, as after a restore by hand."""
    folder = folder_of_volume(mesh, "clinic-leipzig-repository")
    run(["chown", "--recursive", "root:root", str(folder)])
    run(["chmod", "--recursive", "go-w", str(folder)])
    yield mesh
    run(["chmod", "--recursive", "go+w", str(folder)])
    run(["chown", "--recursive", f"{USER_ID}:{USER_ID}", str(folder)])
    mesh.wait_until(
        "archiving goes on",
        lambda status: condition(status, "BackupsCurrent")["reason"] != "ArchivingFails",
        timeout_seconds=REPAIRED_SECONDS,
    )


def test_a_backup_repository_that_cannot_be_written(unwritable_repository: Mesh) -> None:
    leipzig = site(unwritable_repository, "leipzig")
    leipzig.administer("select pg_logical_emit_message(false, 'test', 'a line of log'); select pg_switch_wal()")
    message = _await_told(unwritable_repository, "BackupsCurrent", "ArchivingFails")
    assert "leipzig cannot archive since" in message
    assert "/var/lib/multiserver/repository cannot be written (Permission denied)" in message
    with pytest.raises(NotSeenError, match=r"cannot be written \(Permission denied\)"):
        leipzig.back_up("data", timeout_seconds=REPAIRED_SECONDS)
    _assert_serving(list(unwritable_repository.sites))


def _await_told(mesh: Mesh, name: str, reason: str, cause: str = "") -> str:
    """Wait for a condition that is bad for this reason, tells the cause, and has a Warning event; give the sentence."""
    started = datetime.now(UTC)

    def is_told(status: Status) -> bool:
        found = condition(status, name)
        is_bad = found.get("status") == "False" and found.get("reason") == reason
        return is_bad and cause in str(found.get("message"))

    status = mesh.wait_until(f"{name} is False: {reason}", is_told, timeout_seconds=TOLD_SECONDS)
    message = str(condition(status, name)["message"])
    left_seconds = TOLD_SECONDS - (datetime.now(UTC) - started).total_seconds()
    _await_event(mesh, lambda event: event["reason"] == reason and message[:40] in event["message"], left_seconds)
    return message


def _await_event(mesh: Mesh, is_wanted: Callable[[dict[str, Any]], bool], timeout_seconds: float) -> None:
    about = f"--field-selector=type=Warning,involvedObject.kind=MultiServerCluster,involvedObject.name={mesh.name}"
    wait_for(
        "a Warning event",
        lambda: json.loads(mesh.kubectl("get", "events", about, "-o", "json"))["items"],
        until=lambda events: any(is_wanted(event) for event in events),
        timeout_seconds=timeout_seconds,
    )


def _assert_others_serve(mesh: Mesh, failed: str) -> None:
    """All other sites are Ready and take rows from each other."""
    states = {one["name"]: one["state"] for one in mesh.status()["sites"]}
    serving = [one for one in mesh.sites if one.name != failed]
    assert {one.name: states[one.name] for one in serving} == {one.name: "Ready" for one in serving}
    _assert_serving(serving)


def _assert_serving(sites: list[Site]) -> None:
    marker = datetime.now(UTC).isoformat()
    for writer in sites:
        writer.sql(f"insert into served (site, marker) values ('{writer.name}', '{marker}')")
    for reader in sites:
        reader.await_sql(f"select count(*) from served where marker = '{marker}'", str(len(sites)))
