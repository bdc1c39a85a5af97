"""What a crash takes from a site though it was confirmed to its peers comes again; nobody counts on it before."""

import os
from collections.abc import Iterator
from functools import partial
from signal import SIGKILL, SIGSTOP

import psycopg
import pytest

from tests.postgres.comparing import mend
from tests.postgres.killer import generation, revive
from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually

HOLD = "select multiserver.collection_hold()"


@pytest.fixture
def late(two: Mesh) -> Iterator[Mesh]:
    """Two sites; what hamburg merges is not on its disk for seconds, and its workers come back at once."""
    two.sites[0].sql("create table visits (id integer primary key)")
    two.drain()
    mend(two)
    hamburg = two.sites[1]
    for setting in ("wal_writer_delay = '10s'", "autovacuum = off", "wal_retrieve_retry_interval = '10ms'"):
        hamburg.admin(f"alter system set {setting}")
    hamburg.admin("select pg_reload_conf()")
    yield two


def confirm_too_much(site: Site, peer: Site) -> None:
    """End the worker that has merged what the peer sent: the next one confirms it, though it is not on the disk."""
    sent = peer.admin("select pg_current_wal_insert_lsn()::text")[0]
    site.admin("select pg_terminate_backend(pid, 5000) from pg_stat_subscription where worker_type = 'apply'")
    confirmed = "select 1 from multiserver.peer_slots where peer_number = %s and confirmed_flush_lsn >= %s::pg_lsn"
    eventually(partial(peer.admin, confirmed, [site.number, sent]), f"{peer.name} keeps nothing of it")


def keep_off_the_disk(site: Site) -> int:
    """Stop the process that writes out what was committed without waiting for the disk; return its process id."""
    writer: int = site.admin("select pid from pg_stat_activity where backend_type = 'walwriter'")[0]
    os.kill(writer, SIGSTOP)
    return writer


def crash(site: Site, *stopped: int) -> None:
    """Kill a site's server, and the processes of it that a test has stopped, and start it again."""
    site.server.stop(SIGKILL)
    for process in stopped:
        os.kill(process, SIGKILL)
    site.server.start()


def hear(site: Site, peer: Site) -> None:
    since = peer.beat()
    eventually(partial(site.has_beat, peer, since), f"{site.name} hears {peer.name}")


def test_rows_that_a_crash_took_though_they_were_confirmed_are_fetched_again(late: Mesh) -> None:
    berlin, hamburg = late.sites
    writer = keep_off_the_disk(hamburg)
    berlin.sql("insert into visits values (1)")
    eventually(partial(hamburg.sql, "select 1 from visits"), "the row is merged")
    confirm_too_much(hamburg, berlin)
    crash(hamburg, writer)
    hear(hamburg, berlin)
    assert hamburg.sql("select id from visits") == [], "this test shows nothing: the row was on the disk"
    assert hamburg.admin("select doubted_at is not null from multiserver.links") == [True]
    assert hamburg.admin(HOLD) != [None]
    mend(late)
    assert late.equal("select id from visits") == [1]
    assert hamburg.admin(HOLD) == [None]


def test_a_server_that_recovers_by_itself_doubts_its_links_too(late: Mesh) -> None:
    berlin, hamburg = late.sites
    berlin.sql("insert into visits values (1)")
    eventually(partial(hamburg.sql, "select 1 from visits"), "the row is merged")
    confirm_too_much(hamburg, berlin)
    started = "select pg_postmaster_start_time()"
    before, crashed = hamburg.admin(started), generation(hamburg)
    with pytest.raises(psycopg.OperationalError):
        hamburg.admin("copy (select) to program 'kill -9 $PPID'")
    revive(hamburg, crashed)
    assert hamburg.admin(started) == before
    hear(hamburg, berlin)
    assert hamburg.admin("select doubted_at is not null from multiserver.links") == [True]
    mend(late)
    assert late.equal("select id from visits") == [1]


def test_a_schema_change_is_on_the_disk_before_it_is_confirmed(late: Mesh) -> None:
    berlin, hamburg = late.sites
    berlin.sql("alter table visits add column note text")
    column = "select 1 from pg_attribute where attrelid = 'visits'::regclass and attname = 'note'"
    eventually(partial(hamburg.sql, column), "the column has come")
    confirm_too_much(hamburg, berlin)
    crash(hamburg)
    assert hamburg.sql(column) == [1]


def test_an_orderly_stop_leaves_no_doubt(late: Mesh) -> None:
    berlin, hamburg = late.sites
    berlin.sql("insert into visits values (1)")
    late.drain()
    hamburg.server.stop()
    hamburg.server.start()
    hear(hamburg, berlin)
    assert hamburg.admin("select doubted_at from multiserver.links") == [None]


def test_nothing_that_is_heard_counts_before_a_peer_was_asked(late: Mesh) -> None:
    berlin, hamburg = late.sites
    hamburg.server.stop()
    hamburg.server.start()
    before = hamburg.admin("select multiserver.own_horizon(1)")
    hear(hamburg, berlin)
    assert hamburg.admin(HOLD)[0].startswith("no peer has been asked since ")
    assert hamburg.admin("select multiserver.own_horizon(1)") <= before
    mend(late)
    assert hamburg.admin(HOLD) == [None]
    assert hamburg.admin("select multiserver.own_horizon(1)") > before
