"""Three sites that hold each other's rows and files, each with backups, and a status that tells it."""

import json
from itertools import permutations

import pytest
import yaml

from hack.demo import story
from hack.demo.mesh import Mesh, site_status, viewpoint
from multiserver.api.names import MANAGER

SITES = ("berlin", "hamburg", "leipzig")


def test_a_row_written_at_each_site_is_read_at_the_others(mesh: Mesh) -> None:
    story.show_rows(mesh.sites)


def test_updates_and_deletes_reach_all_sites(mesh: Mesh) -> None:
    berlin, hamburg, leipzig = mesh.sites
    berlin.sql("create table patient (id int primary key, name text)")
    berlin.sql("insert into patient values (1, 'Ada'), (2, 'Bob')")
    hamburg.await_sql("select count(*) from patient", "2")
    hamburg.sql("update patient set name = 'Ada Lovelace' where id = 1")
    hamburg.sql("delete from patient where id = 2")
    for site in (berlin, leipzig):
        site.await_sql("select id, name from patient", "1|Ada Lovelace")


def test_a_file_dropped_at_each_site_is_found_at_the_others_with_equal_checksum(mesh: Mesh) -> None:
    story.show_files(mesh.sites)


def test_backups_of_data_and_files_succeed_and_the_repository_lists_them(mesh: Mesh) -> None:
    berlin = mesh.sites[0]
    listed_before = [backup["label"] for backup in berlin.backups()]
    assert "succeeded" in berlin.back_up("data")
    backups = berlin.backups()
    assert [backup["label"] for backup in backups[:-1]] == listed_before, "one more is listed: the one asked for"
    assert backups[0]["type"] == "full", "the first one stands alone"
    assert not any(backup["error"] for backup in backups)
    assert "succeeded" in berlin.back_up("files")
    mesh.wait_until(
        "the backups are told",
        lambda status: site_status(status, "berlin").get("backup") == "OK: backup and synchronisation are up to date",
        timeout_seconds=30,
    )


def test_the_status_has_every_sites_viewpoint_of_each_peer(mesh: Mesh) -> None:
    status = mesh.status()
    for observer, peer in permutations(SITES, 2):
        seen = viewpoint(status, observer, peer)
        assert seen["state"] == "Connected", (observer, peer)
        assert seen["files"] == {"percent": 100, "reachable": "True"}
        assert seen["replicationActive"] == "True"
        assert seen["lagBytes"] == 0
        figures = {"clockOffsetMilliseconds", "pingMilliseconds", "lagSeconds", "retainedBytes"}
        times = {"observedAt", "since", "lastConnection", "lastPing"}
        assert not (figures | times) - seen.keys(), f"{observer} lacks figures of {peer}"


def test_the_status_tells_what_each_site_is(mesh: Mesh) -> None:
    status = mesh.status()
    assert [(site["name"], site["serverNumber"], site["state"]) for site in status["sites"]] == [
        (name, number, "Ready") for number, name in enumerate(SITES, start=1)
    ]
    assert len({site["systemId"] for site in status["sites"]}) == len(SITES)
    for site in status["sites"]:
        assert site["version"].startswith("PostgreSQL 18.")
        assert site["files"] == "OK: all files are here"
        assert site["disk"].startswith("OK: ")
        assert site["raid"]


def test_kubectl_get_shows_a_line_that_people_read(mesh: Mesh) -> None:
    heading, line = mesh.kubectl("get", "msc", mesh.name).splitlines()
    assert heading.split() == ["NAME", "READY", "SITES", "LAG", "FILES", "BACKUP", "AGE"]
    assert line.split()[:5] == [mesh.name, "True", "3/3", "0", "OK"]


def test_kubectl_diff_is_empty_once_all_is_as_declared(mesh: Mesh) -> None:
    mesh.apply()
    assert mesh.kubectl("diff", "-f", "-", stdin=yaml.safe_dump(dict(mesh.manifest))) == ""


def test_the_operator_writes_nothing_into_the_resource_but_its_status(mesh: Mesh) -> None:
    resource = json.loads(mesh.kubectl("get", "msc", mesh.name, "-o", "json", "--show-managed-fields"))
    managed = resource["metadata"]["managedFields"]
    written = [set(entry["fieldsV1"]) for entry in managed if entry["manager"] == MANAGER]
    assert written == [{"f:status"}]
    assert "finalizers" not in resource["metadata"]


@pytest.mark.parametrize("field", ["spec", "spec.sites", "spec.database", "status", "status.sites.peers"])
def test_kubectl_explain_is_a_manual(mesh: Mesh, field: str) -> None:
    explained = mesh.kubectl("explain", f"msc.{field}")
    assert "<empty>" not in explained
    assert "<no description>" not in explained


def test_kubectl_explain_lists_all_fields(mesh: Mesh) -> None:
    listed = mesh.kubectl("explain", "msc.spec", "--recursive")
    assert {"sites", "database", "files", "numberRanges", "backup", "deletionPolicy"} <= set(listed.split())
