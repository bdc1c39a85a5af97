"""A slot, a volume or some time is lost while the other sites write: the site is brought up to date by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hack.common.command import run
from hack.demo.kubernetes import Local
from hack.demo.mesh import Mesh, Status, condition, site_status
from hack.demo.site import Site
from hack.demo.waiting import wait_for
from tests.e2e.accidents import birth, empty, incarnation, lose_volume, put_back, restore, snapshot, stopped
from tests.e2e.conftest import NewMesh
from tests.e2e.meshes import end, site
from tests.e2e.told import Story, assert_told, told
from tests.e2e.writers import Writer, assert_nothing_lost_or_doubled, await_progress, make_table, writing

REPAIRED_SECONDS = 600

ARCHIVED = "select last_archived_time > coalesce(last_failed_time, '-infinity') from pg_stat_archiver"


@pytest.fixture(scope="module")
def lab(new_mesh: NewMesh) -> Mesh:
    """A cluster of this file's own with a table to write to."""
    mesh = new_mesh("repair", "berlin", "hamburg", "leipzig")
    mesh.apply()
    mesh.wait_until_healthy(REPAIRED_SECONDS)
    make_table(mesh)
    return mesh


@pytest.fixture
def mesh(lab: Mesh, kubernetes: Local) -> Iterator[Mesh]:
    lab.wait_until_healthy(REPAIRED_SECONDS)
    yield lab
    kubernetes.heal()


def test_a_backlog_that_was_given_up_is_fetched_when_the_line_is_back(mesh: Mesh, kubernetes: Local) -> None:
    berlin, hamburg = site(mesh, "berlin"), site(mesh, "hamburg")
    before = birth(berlin, 2)
    with told(mesh) as story, writing("slot", mesh) as writers:
        kubernetes.cut(end(mesh, "berlin"), end(mesh, "hamburg"))
        kubernetes.cut(end(mesh, "leipzig"), end(mesh, "hamburg"))
        with _little_room_for_backlogs(berlin):
            wait_for(
                "berlin gives up what it keeps for hamburg, and begins anew",
                lambda: _write_much_and_read_birth(berlin),
                until=lambda now: now not in (before, ""),
                timeout_seconds=REPAIRED_SECONDS,
            )
        await_progress(list(writers.values()))
        mesh.wait_until("the cut is told", _is_cut_told)
        kubernetes.heal()
        mesh.wait_until_healthy(REPAIRED_SECONDS)

    assert_nothing_lost_or_doubled(mesh.sites, list(writers.values()))
    assert hamburg.administer(
        "select slot_birth from multiserver.links where peer_number = 1 and doubted_at is null"
    ) == birth(berlin, 2)
    assert_told(story, "to do: ", "make the slot for hamburg at berlin anew, since its backlog was given up")


def test_a_lost_data_volume_is_filled_again_while_the_others_write(mesh: Mesh) -> None:
    before = site_status(mesh.status(), "hamburg")["systemId"]
    own = _written_everywhere(mesh, "own")
    with told(mesh) as story, writing("volume", mesh, "berlin", "leipzig") as writers:
        with stopped(mesh, "hamburg") as data:
            empty(data)
        mesh.wait_until_healthy(REPAIRED_SECONDS)

    _assert_equal(mesh, [*own, *writers.values()])
    assert site_status(mesh.status(), "hamburg")["systemId"] != before
    assert site_status(mesh.status(), "hamburg")["serverNumber"] == 2
    assert_told(story, "Ready False SiteNotReady", "hamburg: no node takes its pod")
    assert_told(story, "to do: ", "open hamburg for the application")


def test_the_schema_site_is_filled_again_and_goes_on_changing_the_schema(mesh: Mesh) -> None:
    before = site_status(mesh.status(), "berlin")["systemId"]
    own = _written_everywhere(mesh, "schema-own")
    with told(mesh) as story, writing("schema-volume", mesh, "hamburg", "leipzig") as writers:
        lose_volume(mesh, "berlin")
        mesh.wait_until(
            "berlin has another database", lambda status: site_status(status, "berlin")["systemId"] != before
        )
        mesh.wait_until_healthy(REPAIRED_SECONDS)

    assert mesh.status()["schemaSite"] == "berlin"
    assert_told(story, "to do: ", "open berlin for the application")
    site(mesh, "berlin").sql("alter table entry add column note text default 'of berlin'")
    for one in mesh.sites:
        one.await_sql("select count(*) > 0 and count(*) = count(note) from entry", "t")
    _assert_equal(mesh, [*own, *writers.values()])


def test_a_site_that_was_put_back_in_time_fetches_what_it_forgot(mesh: Mesh, tmp_path: Path) -> None:
    with stopped(mesh, "leipzig") as data:
        run(["cp", "--archive", str(data), str(tmp_path / "earlier")])
    mesh.wait_until_healthy(REPAIRED_SECONDS)
    forgotten = _written_everywhere(mesh, "forgotten")
    system_id = site_status(mesh.status(), "leipzig")["systemId"]

    with told(mesh) as story, writing("rewound", mesh, "berlin", "hamburg") as writers:
        put_back(mesh, "leipzig", tmp_path / "earlier")
        mesh.wait_until_healthy(REPAIRED_SECONDS)

    _assert_equal(mesh, [*forgotten, *writers.values()])
    _assert_log_began_anew(mesh, "leipzig", story, system_id)


def test_a_restored_snapshot_of_a_volume_is_found_out_and_stays_closed_until_it_has_everything(mesh: Mesh) -> None:
    hamburg = site(mesh, "hamburg")
    with writing("before", mesh) as early:
        copy = snapshot(mesh, "hamburg")
    forgotten = [*early.values(), *_written_everywhere(mesh, "unknown")]
    before, system_id = incarnation(hamburg), site_status(mesh.status(), "hamburg")["systemId"]

    with told(mesh) as story, writing("restored", mesh, "berlin", "leipzig") as writers:
        restore(mesh, "hamburg", copy)
        wait_for(
            "hamburg's history is another one",
            lambda: incarnation(hamburg),
            until=lambda now: now != before,
            timeout_seconds=REPAIRED_SECONDS,
        )
        mesh.wait_until_healthy(REPAIRED_SECONDS)

    _assert_equal(mesh, [*forgotten, *writers.values()])
    assert hamburg.administer("select how from multiserver.broken_history") == "rewound"
    _assert_log_began_anew(mesh, "hamburg", story, system_id)
    assert_told(story, "Ready True AllSitesServe: all 3 sites serve")


def _assert_log_began_anew(mesh: Mesh, name: str, story: Story, before: str) -> None:
    """The log of a site that was put back in time began under another system identifier, so it is archived."""
    assert_told(story, "to do: ", f"restart site {name}, since it was put back in time and its log has to begin anew")
    assert_told(story, "to do: ", f"open {name} for the application")
    assert site_status(mesh.status(), name)["systemId"] != before
    site(mesh, name).administer("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
    wait_for(
        f"the log of {name} is archived",
        lambda: site(mesh, name).administer(ARCHIVED),
        until=lambda answer: answer == "t",
        timeout_seconds=REPAIRED_SECONDS,
    )


def _written_everywhere(mesh: Mesh, prefix: str) -> list[Writer]:
    """Write at every site, and wait until all have all of it."""
    with writing(prefix, mesh) as writers:
        pass
    assert_nothing_lost_or_doubled(mesh.sites, list(writers.values()))
    return list(writers.values())


def _assert_equal(mesh: Mesh, before: list[Writer]) -> None:
    """Nothing is lost or doubled, also of what is written at every site after the repair."""
    with writing(f"after-{len(before)}-{before[-1].prefix}", mesh) as after:
        pass
    assert_nothing_lost_or_doubled(mesh.sites, [*before, *after.values()])


@contextmanager
def _little_room_for_backlogs(berlin: Site) -> Iterator[None]:
    """As long as the block runs, a site gives up soon what it keeps for a peer."""
    berlin.administer("alter system set max_slot_wal_keep_size = '32MB'")
    berlin.administer("select pg_reload_conf()")
    try:
        yield
    finally:
        berlin.administer("alter system reset max_slot_wal_keep_size")
        berlin.administer("select pg_reload_conf()")


def _is_cut_told(status: Status) -> bool:
    return "berlin does not reach hamburg since" in condition(status, "ReplicationHealthy").get("message", "")


def _write_much_and_read_birth(berlin: Site) -> str:
    """Have the log grow by more than a peer may hold back; a checkpoint gives up what is too old."""
    berlin.administer(
        "select pg_logical_emit_message(false, 'test', repeat('x', 1000000)) from generate_series(1, 64);"
        "select pg_switch_wal(); checkpoint"
    )
    return birth(berlin, 2)
