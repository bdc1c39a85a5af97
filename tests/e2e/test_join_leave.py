"""A fourth site joins, leaves and comes back while all others write: no row is lost, none is there twice."""

import json

import pytest

from hack.demo.mesh import Mesh, site_status
from hack.demo.waiting import wait_for
from tests.e2e.conftest import NewMesh
from tests.e2e.meshes import site, with_sites
from tests.e2e.told import assert_told, told
from tests.e2e.writers import Writer, assert_nothing_lost_or_doubled, await_progress, make_table, writing

THREE = ("berlin", "hamburg", "leipzig")
FOUR = (*THREE, "munich")
GONE_SECONDS = 300


@pytest.fixture(scope="module")
def three(new_mesh: NewMesh) -> Mesh:
    """A cluster of this file's own with rows and a file from before."""
    mesh = new_mesh("lives", *THREE)
    mesh.apply()
    mesh.wait_until_healthy()
    make_table(mesh)
    mesh.sites[0].drop_file("documents", "before.txt", "written before munich joined")
    return mesh


@pytest.fixture(scope="module")
def written() -> list[Writer]:
    """All writers of this file: what they wrote must be there to its end."""
    return []


def test_a_fourth_site_joins_while_all_others_write(three: Mesh, written: list[Writer]) -> None:
    with told(three) as story, writing("join", three) as writers:
        written += writers.values()
        four = with_sites(three, *FOUR)
        four.wait_until_healthy(GONE_SECONDS)
        await_progress(list(writers.values()))
    with writing("joined", four) as more:
        written += more.values()

    assert_nothing_lost_or_doubled(four.sites, written)
    munich = site(four, "munich")
    munich.await_file("documents", "before.txt", four.sites[0].checksum("documents", "before.txt"))
    assert munich.administer("select how from multiserver.broken_history") == "copied"
    assert site_status(four.status(), "munich")["serverNumber"] == 4
    assert_told(story, "Reconciling True ActionsPending: to do: ", "open munich for the application")
    assert_told(story, "Ready True AllSitesServe: all 4 sites serve")


def test_the_schema_changes_at_the_schema_site_reach_the_joined_site(three: Mesh) -> None:
    four = with_sites(three, *FOUR)
    four.wait_until_healthy(GONE_SECONDS)
    four.sites[0].sql("alter table entry add column if not exists note text")
    site(four, "munich").await_sql("select count(*) from information_schema.columns where column_name = 'note'", "1")


def test_a_site_that_leaves_hands_over_what_it_wrote_to_the_last_row(three: Mesh, written: list[Writer]) -> None:
    four = with_sites(three, *FOUR)
    four.wait_until_healthy(GONE_SECONDS)
    with told(four) as story, writing("leave", four) as writers:
        written += writers.values()
        with_sites(three, *THREE)
        _await_gone(three, "munich")
        three.wait_until_healthy(GONE_SECONDS)

    assert_nothing_lost_or_doubled(three.sites, written)
    for one in three.sites:
        assert "multiserver_4_" not in one.administer("select slot_name from pg_replication_slots")
        assert "multiserver_4" not in one.administer("select subname from pg_subscription")
    assert len(_names(three, "pvc", "munich")) == 3, "its volumes stay"
    assert "secret/clinic-munich-identity" in _names(three, "secret", "munich"), "its number stays"
    assert_told(story, "Reconciling True ActionsPending: to do: ", "close munich for the application")
    assert_told(story, "Reconciling True ActionsPending: to do: ", "forget munich at berlin")
    assert_told(story, "Reconciling False UpToDate: everything is as declared")


def test_a_site_that_left_comes_back_under_its_name_with_its_volume(three: Mesh, written: list[Writer]) -> None:
    with writing("return", three) as writers:
        written += writers.values()
        four = with_sites(three, *FOUR)
        four.wait_until_healthy(GONE_SECONDS)
    with writing("returned", four) as more:
        written += more.values()

    assert_nothing_lost_or_doubled(four.sites, written)
    assert site_status(four.status(), "munich")["serverNumber"] == 4


def test_a_dead_site_leaves_and_the_survivors_agree(three: Mesh, written: list[Writer]) -> None:
    four = with_sites(three, *FOUR)
    four.wait_until_healthy(GONE_SECONDS)
    assert_nothing_lost_or_doubled(four.sites, written)
    with writing("dead", three) as writers:
        written += writers.values()
        with_sites(three, *THREE)
        four.kubectl("delete", "statefulset", "clinic-munich")
        _await_gone(three, "munich")
        three.wait_until_healthy(GONE_SECONDS)

    assert_nothing_lost_or_doubled(three.sites, written)


def _names(mesh: Mesh, kinds: str, name: str) -> set[str]:
    label = f"multiserver.dev/cluster={mesh.name},multiserver.dev/site={name}"
    listed = json.loads(mesh.kubectl("get", kinds, "-l", label, "-o", "json"))["items"]
    return {f"{item['kind'].lower()}/{item['metadata']['name']}" for item in listed}


def _await_gone(mesh: Mesh, name: str) -> None:
    kinds = "statefulset,pod,service,configmap,cronjob,networkpolicy,serviceaccount"
    wait_for(
        f"nothing of {name} is left",
        lambda: _names(mesh, kinds, name),
        until=lambda left: not left,
        timeout_seconds=GONE_SECONDS,
    )
