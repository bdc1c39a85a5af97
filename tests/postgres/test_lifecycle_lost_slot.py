"""Slots that were lost are made anew, and what fell into the gap is fetched by rounds that may be killed."""

import asyncio

import pytest

from tests.postgres.comparing import pull
from tests.postgres.lives import Lives
from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.writers import Writers


def birth(site: Site, peer: Site) -> str:
    return str(site.admin("select birth from multiserver.slots where peer_number = %s", [peer.number])[0])


@pytest.mark.parametrize("killed", [False, True])
def test_what_fell_into_the_gap_of_a_lost_slot_is_pulled(lives: Lives, writers: Writers, killed: bool) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    with writers.writing():
        before = birth(berlin, hamburg)
        hamburg.cut(berlin)
        berlin.drop_slot(hamburg)
        lost = berlin.sql("insert into visits (site, words) values (1, 'into the gap') returning id")[0]
        writers.wait_for_rows(30)
        if killed:
            assert lives.settle_though_killed() > 3
        else:
            lives.settle()
        assert birth(berlin, hamburg) != before
        assert hamburg.sql("select id from visits where words = 'into the gap'") == [lost]
    writers.assert_nothing_lost_or_doubled()


def test_a_slot_that_postgresql_gave_up_is_made_anew(lives: Lives) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    hamburg.cut(berlin)
    berlin.admin("alter system set max_slot_wal_keep_size = '1MB'")
    berlin.admin("select pg_reload_conf()")
    status = "select wal_status from multiserver.peer_slots where peer_number = 2"

    def is_lost() -> bool:
        berlin.sql("insert into visits (site, words) select 1, repeat('x', 900) from generate_series(1, 2000)")
        berlin.admin("select pg_switch_wal()")
        berlin.admin("checkpoint")
        return berlin.admin(status) == ["lost"]

    eventually(is_lost, "the slot is lost")
    berlin.admin("alter system reset max_slot_wal_keep_size")
    berlin.admin("select pg_reload_conf()")
    lives.settle()
    assert berlin.admin(status) == ["reserved"]
    lives.mesh.equal("select count(*), sum(id) from visits")
    lives.mesh.assert_registers_equal()


@pytest.mark.parametrize("first", ["berlin", "hamburg"])
@pytest.mark.parametrize("rows", [1, 20])
def test_a_change_whose_winner_never_hears_of_it_is_in_the_conflict_log(lives: Lives, rows: int, first: str) -> None:
    """Comparing brings the winner alone, and nothing of what it went over; the slots that had both are lost."""
    mesh = lives.mesh
    berlin, hamburg, leipzig = mesh.sites
    berlin.sql("insert into visits (site, words) select n, 'first' from generate_series(1, %s) n", [rows])
    for site in mesh:  # After that they rely on what they hear.
        assert not lives.check_for_rewinding(site)
    mesh.drain()
    for site, peer in ((hamburg, berlin), (leipzig, berlin), (hamburg, leipzig), (leipzig, hamburg)):
        site.cut(peer)
    berlin.sql("update visits set words = 'lost' where words = 'first'")
    for peer in (hamburg, leipzig):
        since = peer.beat()
        eventually(lambda peer=peer, since=since: berlin.has_beat(peer, since), "berlin has all of before its change")  # type: ignore[misc]
        berlin.cut(peer)
    hamburg.sql("update visits set words = 'did not know it' where words = 'first'")
    hamburg.sql("update visits set words = 'nor this' where words = 'did not know it'")
    for site in mesh:
        for peer in mesh.peers(site):
            site.drop_slot(peer)
    if first == "berlin":
        pull(berlin, hamburg)
    else:  # Hamburg lacks nothing, says so, and never sees what its own changes went over.
        lives.keep()
        for site, peer in ((hamburg, berlin), (hamburg, leipzig), (leipzig, hamburg), (leipzig, berlin)):
            assert asyncio.run(lives.pull(site, peer))
        mesh.heal_all()
        mesh.drain()
        mesh.drain()
    lives.settle()
    assert mesh.equal("select count(*) from visits where words = 'nor this'") == [rows]
    entries = {entry for site in mesh for entry in site.admin("select key, losing_image from multiserver.conflicts")}
    assert len(entries) == rows and all(",lost" in image for _, image in entries)


def test_a_change_is_noted_as_perhaps_seen_until_one_comes_that_saw_it(lives: Lives) -> None:
    mesh = lives.mesh
    berlin, hamburg, leipzig = mesh.sites
    berlin.sql("insert into visits (site, words) values (1, 'first')")
    mesh.drain()
    leipzig.cut(berlin)
    berlin.cut(hamburg)
    berlin.sql("update visits set words = 'berlin'")
    since = berlin.beat()
    eventually(lambda: hamburg.has_beat(berlin, since), "hamburg has berlin's change")
    hamburg.sql("update visits set words = 'hamburg saw it'")
    Mesh([hamburg, leipzig]).drain()
    berlin.drop_slot(leipzig)
    leipzig.sql("update visits set words = 'leipzig saw hamburg'")
    since = leipzig.beat()
    eventually(lambda: berlin.has_beat(leipzig, since), "berlin has leipzig's change")
    how = "select detected, losing_row like '%%,berlin)' from multiserver.conflict_log"
    assert berlin.admin(how) == [("perhaps seen", True)]
    lives.settle()
    assert [site.admin(how) for site in mesh] == [[], [], []]
