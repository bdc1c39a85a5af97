"""A site that was put back in time finds it out, takes no write before it has all, and gets back what it wrote."""

import asyncio
import os
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, Signals
from subprocess import run

import pytest

from multiserver.postgres.errors import StatementFailed
from tests.postgres.lives import Executioner, Killed, Lives
from tests.postgres.mesh import Site
from tests.postgres.rounds import facts_of
from tests.postgres.servers import eventually
from tests.postgres.test_collection import SET_CLOCK, WALL_CLOCK
from tests.postgres.writers import Writers


def incarnation(site: Site) -> str:
    return str(site.admin("select incarnation from multiserver.site_settings")[0])


def put_back_in_time(site: Site, writers: Writers, peers: list[Site]) -> None:
    """Save a site's data, let it write more, which its peers get, and put the saved data back."""
    site.server.stop()
    saved = site.server.save("saved")
    site.server.start()
    writers.wait_for_rows(50)
    writers.end_at(site)
    since = site.beat()
    for peer in peers:
        eventually(lambda peer=peer: peer.has_beat(site, since), f"{peer.name} has what {site.name} wrote")  # type: ignore[misc]
    site.server.stop()
    site.server.put_back(saved)
    site.server.start()


def snapshot(site: Site) -> Path:
    """Copy a site's data while its server runs, all processes standing still, as a snapshot of its volume would be."""
    assert site.server.process is not None
    postmaster = site.server.process.pid
    os.kill(postmaster, SIGSTOP)
    children = [int(child) for child in run(["pgrep", "-P", str(postmaster)], capture_output=True).stdout.split()]
    for child in children:
        os.kill(child, SIGSTOP)
    try:
        return site.server.save("snapshot")
    finally:
        for process in (*children, postmaster):
            os.kill(process, SIGCONT)


def version_now(site: Site) -> int:
    return int(site.admin("select multiserver.version_at(multiserver.wall_clock(), 0)")[0])


@pytest.mark.parametrize("killed", [False, True])
def test_a_rewound_site_finds_it_out_and_gets_back_what_it_wrote(lives: Lives, writers: Writers, killed: bool) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    berlin.beat()
    schema_version = "select version from multiserver.schema_state"
    known = berlin.admin(schema_version)
    with writers.writing():
        before = incarnation(berlin)
        put_back_in_time(berlin, writers, [hamburg, leipzig])
        berlin.sql("insert into visits (site, words) values (1, 'written before it knew')")
        for kill in range(6 if killed else 0):
            with suppress(Killed):
                lives.check_for_rewinding(berlin, Executioner(kill))
        assert lives.check_for_rewinding(berlin) is not killed  # a kill came after the finding had been acted on
        assert incarnation(berlin) != before
        assert berlin.admin("select rolcanlogin from pg_roles where rolname = 'app'") == [False]
        assert not lives.check_for_rewinding(berlin)
        if killed:
            lives.settle_though_killed()
        else:
            lives.settle()
        writers.begin_at(berlin)
        writers.wait_for_rows(50)
    writers.assert_nothing_lost_or_doubled()
    assert len(lives.mesh.equal("select id from visits where words = 'written before it knew'")) == 1
    assert berlin.admin(schema_version) == known, "the schema site changes nothing that its peers could miss"


def test_a_table_that_ceased_to_be_local_while_the_schema_site_was_closed_is_replicated(
    lives: Lives, writers: Writers
) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    declare = "select multiserver.declare_local_tables(%s)"
    for site in lives.mesh:
        site.admin(declare, [["public.jobs"]])
    berlin.sql("create table jobs (id integer primary key)")
    lives.mesh.drain()
    with writers.writing():
        put_back_in_time(berlin, writers, [hamburg, leipzig])
        assert lives.check_for_rewinding(berlin)
        for site in lives.mesh:
            site.admin(declare, [[]])
        lives.settle()
        writers.begin_at(berlin)
    berlin.sql("insert into jobs values (1)")
    assert lives.mesh.equal("select id from jobs") == [1]


@pytest.mark.parametrize("heard", [False, True])
def test_a_site_is_found_rewound_though_its_log_has_grown_past_what_peers_know(
    lives: Lives, writers: Writers, heard: bool
) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    berlin.beat()
    with writers.writing():
        put_back_in_time(berlin, writers, [hamburg, leipzig])
    known = hamburg.admin("select sent_lsn from multiserver.heartbeats where server_number = 1")[0]
    for peer in (hamburg, leipzig):
        peer.cut(berlin)

    def has_grown() -> bool:
        berlin.sql("insert into visits (site, words) select 1, repeat('x', 900) from generate_series(1, 500)")
        return bool(berlin.admin("select pg_current_wal_lsn() > %s::pg_lsn + 1000000", [known])[0])

    eventually(has_grown, "the log is longer than before")
    since = berlin.beat()
    if heard:  # before it has asked them
        for peer in (hamburg, leipzig):
            peer.heal(berlin)
            eventually(lambda peer=peer: peer.has_beat(berlin, since), f"{peer.name} has heard berlin again")  # type: ignore[misc]
    assert lives.check_for_rewinding(berlin)
    lives.settle()
    lives.mesh.equal("select count(*), sum(id) from visits")
    lives.mesh.assert_registers_equal()


def test_a_snapshot_of_a_running_server_is_found_out_though_its_log_has_grown_before_anybody_asked(
    lives: Lives, writers: Writers
) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    with writers.writing():
        berlin.beat()
        saved = snapshot(berlin)
        writers.wait_for_rows(50)
        writers.end_at(berlin)
        since = berlin.beat()
        for peer in (hamburg, leipzig):
            eventually(lambda peer=peer: peer.has_beat(berlin, since), f"{peer.name} has what berlin wrote")  # type: ignore[misc]
        berlin.server.stop(SIGKILL)
        berlin.server.put_back(saved)
        berlin.server.start()
    known = hamburg.admin("select sent_lsn from multiserver.heartbeats where server_number = 1")[0]

    def has_grown() -> bool:
        berlin.sql("insert into visits (site, words) select 1, repeat('x', 900) from generate_series(1, 500)")
        return bool(berlin.admin("select pg_current_wal_lsn() > %s::pg_lsn + 1000000", [known])[0])

    eventually(has_grown, "the log is longer than before")
    assert lives.check_for_rewinding(berlin)
    lives.settle()
    lives.mesh.equal("select count(*), sum(id) from visits")
    lives.mesh.assert_registers_equal()


@pytest.mark.parametrize("how", [SIGINT, SIGQUIT])
def test_a_restart_is_no_rewinding(lives: Lives, writers: Writers, how: Signals) -> None:
    berlin, _, _ = lives.mesh.sites
    before = incarnation(berlin)
    with writers.writing():
        for _ in range(3):
            berlin.beat()
            writers.wait_for_rows(20)
            berlin.server.stop(how)
            berlin.server.start()
            assert not lives.check_for_rewinding(berlin)
            berlin.beat()
            assert not lives.check_for_rewinding(berlin)
    assert incarnation(berlin) == before
    writers.assert_nothing_lost_or_doubled()


def test_a_site_whose_history_broke_stays_closed_until_it_has_all_of_the_peers_it_reaches(lives: Lives) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    berlin.admin("select multiserver.renounce(multiserver.incarnation())")
    hamburg.admin("update multiserver.schema_state set version = version + 1")  # so no pull from there succeeds
    for _ in range(3):
        lives.round()
    assert berlin.admin("select opened_at from multiserver.site_settings") == [None]
    hamburg.admin("update multiserver.schema_state set version = version - 1")
    lives.settle()
    assert berlin.sql("insert into visits (site) values (1) returning site") == [1]


def test_a_site_put_back_to_before_what_peers_remember_stays_closed_and_says_the_way_out(lives: Lives) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    horizon = hamburg.admin("select multiserver.version_at(multiserver.wall_clock() - 60000000, 0)")[0]
    berlin.admin("select multiserver.renounce(multiserver.incarnation())")
    berlin.admin("update multiserver.broken_history set complete_until = %s", [horizon - 1])
    hamburg.admin("select setval('multiserver.collected_horizon', %s)", [horizon])
    with pytest.raises(StatementFailed, match="site hamburg has forgotten deletions since then") as failure:
        lives.settle()
    assert failure.value.sqlstate == "MS022"
    assert "filled again from a peer" in str(failure.value.hint)
    assert berlin.admin("select opened_at from multiserver.site_settings") == [None]
    own, peer = (asyncio.run(facts_of(site)) for site in (berlin, hamburg))
    assert own.broken_history is not None and own.broken_history.complete_until == horizon - 1
    assert own.broken_history.complete_until_time is not None
    assert timedelta(seconds=59) < own.observed_at - own.broken_history.complete_until_time < timedelta(minutes=5)
    assert peer.collected_horizon == horizon


def test_a_site_that_was_put_back_once_and_mended_compares_itself_as_any_other_site(lives: Lives) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    berlin.admin("select multiserver.renounce(multiserver.incarnation())")
    lives.settle()
    horizon = hamburg.admin("select multiserver.version_at(multiserver.wall_clock(), 0)")[0]
    hamburg.admin("select setval('multiserver.collected_horizon', %s)", [horizon])
    berlin.admin("select multiserver.doubt_links()")
    lives.settle()
    assert berlin.admin("select 1 from multiserver.links where doubted_at is not null") == []


def test_what_peers_say_after_a_site_was_put_back_does_not_count_as_received(lives: Lives) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    lives.mesh.drain()
    assert not lives.check_for_rewinding(berlin)
    began = version_now(berlin)
    lives.mesh.drain()
    silent_since = version_now(berlin)
    berlin.beat()
    berlin.server.stop()
    saved = berlin.server.save("saved")
    berlin.server.start()
    hamburg.sql("insert into visits (site, words) values (2, 'skipped by the slot')")
    lives.mesh.drain()
    berlin.server.stop()
    berlin.server.put_back(saved)
    berlin.server.start()

    def believes_to_have_it() -> bool:
        for peer in (hamburg, leipzig):
            peer.beat()
        return bool(berlin.admin("select 1 from multiserver.heartbeats having min(horizon) > %s", [silent_since]))

    eventually(believes_to_have_it, "the peers' slots have skipped what they had sent")
    assert lives.check_for_rewinding(berlin)
    received = "select complete_until from multiserver.broken_history union select horizon from multiserver.heartbeats"
    assert all(began < version < silent_since for version in berlin.admin(received))
    lives.settle()
    lives.mesh.equal("select words from visits")


def test_what_a_site_that_was_put_back_collects_on_the_word_of_its_peers_is_not_taken_for_known(lives: Lives) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    berlin.server.stop()
    saved = berlin.server.save("saved")
    berlin.server.start()
    assert not lives.check_for_rewinding(berlin)
    hamburg.sql("insert into visits (site, words) values (2, 'skipped by the slot')")
    lives.mesh.drain()
    berlin.server.stop()
    berlin.server.put_back(saved)
    berlin.server.start()
    berlin.admin("select multiserver.current_run()")
    berlin.admin("update multiserver.runs set is_vouched_for = true")  # By a peer that knows no later state.
    berlin.admin("update multiserver.limits set collection_margin = '0'")
    for peer in (hamburg, leipzig):
        since = peer.beat()
        eventually(partial(berlin.has_beat, peer, since), "it hears its peers, though not what they had sent before")
    for _ in range(2):
        berlin.admin("select multiserver.collect_registers()")
    assert lives.check_for_rewinding(berlin)
    lives.settle()
    assert "skipped by the slot" in lives.mesh.equal("select words from visits")


def test_a_run_that_no_peer_vouched_for_adds_nothing_to_what_was_received(lives: Lives) -> None:
    berlin, _, _ = lives.mesh.sites
    received = "select complete_until from multiserver.runs order by began_lsn"
    for _ in range(2):
        lives.mesh.drain()
        berlin.server.stop()
        berlin.server.start()
        berlin.beat()
    first, second, third = berlin.admin(received)
    assert first == second == third
    assert not lives.check_for_rewinding(berlin)
    lives.mesh.drain()
    berlin.server.stop()
    berlin.server.start()
    berlin.beat()
    assert berlin.admin(received)[-1] > third


def test_a_site_that_was_put_back_gives_no_version_again_though_its_clock_is_behind(lives: Lives) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    berlin.sql("insert into visits (site, words) values (1, 'first')")
    lives.mesh.drain()
    berlin.admin(f"{SET_CLOCK} {WALL_CLOCK} - 3600 * 1000000::bigint")
    berlin.server.stop()
    saved = berlin.server.save("saved")
    berlin.server.start()
    heard = "select 1 from multiserver.heartbeats where server_number = 1 and run = %s::timestamptz"
    run = berlin.admin("select multiserver.current_run()::text")
    berlin.beat()
    eventually(lambda: hamburg.admin(heard, run) and leipzig.admin(heard, run), "both know of this run")
    leipzig.cut(berlin)
    berlin.sql("update visits set words = 'before'")
    eventually(lambda: hamburg.sql("select words from visits") == ["before"], "one peer has the last change")
    hamburg.server.stop()
    berlin.server.stop()
    berlin.server.put_back(saved)
    berlin.server.start()
    assert lives.check_for_rewinding(berlin)
    lives.settle()
    berlin.sql("update visits set words = 'after'")
    hamburg.server.start()
    lives.settle()
    berlin.admin(f"{SET_CLOCK} {WALL_CLOCK}")
    assert lives.mesh.equal("select words from visits") == ["after"]
    lives.mesh.assert_registers_equal()
