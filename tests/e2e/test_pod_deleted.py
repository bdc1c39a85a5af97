"""A site's pod is deleted: it comes back on its volumes, nothing is lost, and its peers catch up."""

import json

from hack.demo.mesh import Mesh
from hack.demo.waiting import wait_for

RETURN_SECONDS = 120


def test_a_deleted_pod_comes_back_with_its_data_and_catches_up_both_ways(mesh: Mesh) -> None:
    berlin, hamburg, _ = mesh.sites
    system_ids = {site["name"]: site["systemId"] for site in mesh.status()["sites"]}
    berlin.sql("create table if not exists booking (id bigserial primary key, site text)")
    for site in mesh.sites:
        site.await_sql("select to_regclass('booking') is not null", "t")
    hamburg.sql("insert into booking (site) select 'hamburg, before' from generate_series(1, 500)")
    kept = hamburg.drop_file("documents", "kept.txt", "written just before the pod was deleted")

    before = _uid(mesh, hamburg.pod)
    mesh.kubectl("delete", "pod", hamburg.pod, "--wait=false")
    berlin.sql("insert into booking (site) select 'berlin, meanwhile' from generate_series(1, 500)")
    missed = berlin.drop_file("documents", "missed.txt", "written while hamburg was away")

    wait_for(
        "another pod", lambda: _uid(mesh, hamburg.pod), until=lambda uid: uid != before, timeout_seconds=RETURN_SECONDS
    )
    status = mesh.wait_until_healthy(RETURN_SECONDS)
    assert {site["name"]: site["systemId"] for site in status["sites"]} == system_ids
    for site in mesh.sites:
        site.await_sql("select count(*) from booking where site = 'hamburg, before'", "500")
        site.await_sql("select count(*) from booking where site = 'berlin, meanwhile'", "500")
        site.await_file("documents", "kept.txt", kept)
        site.await_file("documents", "missed.txt", missed)


def test_a_pod_killed_without_warning_loses_no_committed_row(mesh: Mesh) -> None:
    leipzig = mesh.sites[2]
    mesh.sites[0].sql("create table if not exists receipt (number int primary key)")
    leipzig.await_sql("select to_regclass('receipt') is not null", "t")
    leipzig.sql("insert into receipt select generate_series(1, 1000)")
    before = _uid(mesh, leipzig.pod)
    mesh.kubectl("delete", "pod", leipzig.pod, "--force", "--grace-period=0")
    wait_for(
        "another pod", lambda: _uid(mesh, leipzig.pod), until=lambda uid: uid != before, timeout_seconds=RETURN_SECONDS
    )
    mesh.wait_until_healthy(RETURN_SECONDS)
    for site in mesh.sites:
        site.await_sql("select count(*) from receipt", "1000")


def _uid(mesh: Mesh, pod: str) -> str:
    return str(json.loads(mesh.kubectl("get", "pod", pod, "-o", "json"))["metadata"]["uid"])
