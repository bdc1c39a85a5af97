"""The line between two sites is cut: both go on, both say so, the third sees no difference; healed, all is equal."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from hack.demo.kubernetes import Local
from hack.demo.mesh import Mesh, Status, condition, viewpoint
from hack.demo.site import FOLDERS, Site
from hack.demo.waiting import wait_for
from tests.e2e.meshes import end

TOLD_SECONDS = 15
EQUAL_SECONDS = 30


@pytest.fixture
def cut_mesh(mesh: Mesh, kubernetes: Local) -> Iterator[Mesh]:
    """The line between berlin and hamburg is cut; a table with a row is at all sites."""
    mesh.sites[0].sql(
        "create table if not exists stock (item text primary key, amount int);"
        "insert into stock values ('gloves', 10) on conflict (item) do update set amount = 10"
    )
    for site in mesh.sites:
        site.await_sql("select amount from stock where item = 'gloves'", "10")
    kubernetes.cut(end(mesh, "berlin"), end(mesh, "hamburg"))
    yield mesh
    kubernetes.heal()


def test_both_viewpoints_say_so_and_since_when_while_the_third_is_fine_with_both(cut_mesh: Mesh) -> None:
    cut_at = datetime.now(UTC)
    status = cut_mesh.wait_until("the cut is told", _is_told, timeout_seconds=TOLD_SECONDS)
    for observer, peer in (("berlin", "hamburg"), ("hamburg", "berlin")):
        since = datetime.fromisoformat(viewpoint(status, observer, peer)["since"])
        assert abs(since - cut_at) < timedelta(seconds=TOLD_SECONDS)
        assert viewpoint(status, observer, peer)["message"]
    unhealthy = condition(status, "ReplicationHealthy")
    assert unhealthy["reason"] == "LinkCutOff"
    assert "berlin does not reach hamburg" in unhealthy["message"]
    assert "hamburg does not reach berlin" in unhealthy["message"]
    assert condition(status, "Ready")["status"] == "True"
    for site in ("berlin", "hamburg"):
        assert viewpoint(status, "leipzig", site)["state"] == "Connected"
        assert viewpoint(status, site, "leipzig")["state"] == "Connected"
    assert cut_mesh.kubectl("get", "msc", cut_mesh.name).splitlines()[1].split()[3:5] == ["cut", "off"]


def test_both_take_writes_and_after_healing_all_rows_and_files_are_equal(cut_mesh: Mesh, kubernetes: Local) -> None:
    berlin, hamburg, leipzig = cut_mesh.sites
    cut_mesh.wait_until("the cut is told", _is_told, timeout_seconds=TOLD_SECONDS)
    written = {}
    for site in (berlin, hamburg):
        site.sql(f"insert into stock values ('made at {site.name}', 1)")
        written[site] = site.drop_file("documents", f"cut-{site.name}.txt", f"made at {site.name} while cut off")
        leipzig.await_sql(f"select amount from stock where item = 'made at {site.name}'", "1")
    assert berlin.sql("select count(*) from stock where item = 'made at hamburg'") == "0"
    berlin.sql("update stock set amount = 7 where item = 'gloves'")
    hamburg.sql("update stock set amount = 3 where item = 'gloves'")

    kubernetes.heal()
    deadline = time.monotonic() + EQUAL_SECONDS
    rows = wait_for(
        "all sites hold equal rows",
        lambda: [site.sql("select * from stock order by item") for site in cut_mesh.sites],
        until=lambda seen: seen[0] == seen[1] == seen[2] and seen[0].count("made at") == 2,
        timeout_seconds=EQUAL_SECONDS,
    )
    assert "gloves|3" in rows[0].splitlines(), "the later of two concurrent updates wins everywhere"
    for writer, reader in permutations((berlin, hamburg), 2):
        left_seconds = deadline - time.monotonic()
        reader.await_file("documents", f"cut-{writer.name}.txt", written[writer], timeout_seconds=left_seconds)
    cut_mesh.wait_until_healthy(timeout_seconds=EQUAL_SECONDS)


def test_a_file_edited_at_both_ends_of_a_cut_ends_equal_and_both_edits_are_kept(mesh: Mesh, kubernetes: Local) -> None:
    berlin, hamburg, leipzig = mesh.sites
    shared = berlin.drop_file("documents", "letter.txt", "first draft")
    hamburg.await_file("documents", "letter.txt", shared)
    kubernetes.cut(end(mesh, "berlin"), end(mesh, "hamburg"))
    kubernetes.cut(end(mesh, "leipzig"), end(mesh, "hamburg"))
    edits = {
        berlin.drop_file("documents", "letter.txt", "berlin's edit"),
        hamburg.drop_file("documents", "letter.txt", "hamburg's edit"),
    }
    kubernetes.heal()
    wait_for(
        "all sites hold both edits",
        lambda: [_versions_of_letter(site) for site in mesh.sites],
        until=lambda seen: all(versions == edits for versions in seen),
        timeout_seconds=EQUAL_SECONDS,
    )
    assert len({site.checksum("documents", "letter.txt") for site in (berlin, hamburg, leipzig)}) == 1


def _is_told(status: Status) -> bool:
    ends = (("berlin", "hamburg"), ("hamburg", "berlin"))
    all_cut_off = all(viewpoint(status, *link).get("state") == "CutOff" for link in ends)
    return all_cut_off and condition(status, "ReplicationHealthy").get("status") == "False"


def _versions_of_letter(site: Site) -> set[str]:
    """The checksums of the letter and its conflict copies; what a site replaced lies deeper, in .stversions."""
    letters = (f"{FOLDERS}/documents", "-maxdepth", "1", "-name", "letter*.txt")
    listed = site.execute("agent", "find", *letters, "-exec", "sha256sum", "{}", "+")
    return {line.split()[0] for line in listed.splitlines()}
