"""Register rows that no event under way can need are collected, and nothing comes of it but smaller registers."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from tests.postgres.comparing import mend
from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_conflict_log import NOTHING, logs
from tests.postgres.test_conflicts import cut_off

WALL_CLOCK = "(date_part('epoch', clock_timestamp()) * 1000000)::bigint"
SET_CLOCK = "create or replace function multiserver.wall_clock() returns bigint language sql volatile return "


@pytest.fixture(autouse=True)
def no_margin(mesh: Mesh) -> Iterator[None]:
    for site in mesh:
        site.admin("update multiserver.limits set collection_margin = '0'")
    yield
    for site in mesh:
        site.admin("update multiserver.limits set collection_margin = default, heartbeat_fresh = default")


def agree(mesh: Mesh) -> None:
    """Let everybody know that everybody has what was written so far."""
    mend(mesh)
    now = mesh.sites[0].admin(f"select {WALL_CLOCK} << 10")[0]
    eventually(lambda: mesh.drain() or all(reached(site, now) for site in mesh), "all horizons agreed")


def reached(site: Site, version: int) -> bool:
    return bool(site.admin("select multiserver.agreed_horizon() > %s", [version])[0])


def collect(site: Site) -> None:
    """Persist the horizon, then collect up to it."""
    for _ in range(2):
        eventually(partial(pass_through, site), f"{site.name} has gone through all registers")


def pass_through(site: Site) -> bool:
    before = site.admin("select clock_timestamp()")[0]
    site.admin("select multiserver.collect_registers(100000)")
    tables = "multiserver.collections where multiserver.register_of(table_id) is not null"
    return site.admin(f"select count(*) from {tables} and coalesce(passed_at < %s, true)", [before]) == [0]


def register(site: Site, table: str) -> list[Any]:
    return site.admin("select key, deleted from multiserver.versions() where table_name = %s order by key", [table])


def test_what_all_sites_have_is_collected_and_nothing_else(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table old_rows (id integer primary key, note text)")
    berlin.sql("insert into old_rows values (1, 'a'), (2, 'a')")
    berlin.sql("delete from old_rows where id = 2")
    agree(mesh)
    with cut_off(mesh):
        hamburg.sql("insert into old_rows values (3, 'not everywhere yet')")
        collect(hamburg)
        collect(berlin)
        assert register(hamburg, "public.old_rows") == [("(3)", False)]
        assert register(berlin, "public.old_rows") == []
    assert mesh.equal("select id from old_rows order by id") == [1, 3]


def test_a_transaction_that_began_before_a_collection_sends_what_it_writes_after_it(mesh: Mesh, berlin: Site) -> None:
    """To its snapshot a register row that was collected is still there, beside the one that it makes itself."""
    berlin.sql("create table seen_before (id integer primary key, note text)")
    berlin.sql("insert into seen_before select n, 'old' from generate_series(1, 6) n")
    agree(mesh)
    with psycopg.connect(berlin.server.connect("app", "app").info.dsn) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("select count(*) from seen_before")
        for site in mesh:
            collect(site)
        assert register(berlin, "public.seen_before") == []
        session.execute("update seen_before set note = 'new' where id <= 4")
        session.execute("update seen_before set id = id + 10 where id = 2")
        session.execute("delete from seen_before where id > 4 and id < 10")
    assert mesh.equal("select * from seen_before order by id") == [(1, "new"), (3, "new"), (4, "new"), (12, "new")]
    mesh.assert_registers_equal()


def test_an_event_that_comes_again_after_collection_changes_nothing(mesh: Mesh, berlin: Site, leipzig: Site) -> None:
    berlin.sql("create table again (id integer primary key, note text)")
    berlin.sql("insert into again values (1, 'old'), (2, 'deleted')")
    berlin.sql("update again set note = 'new' where id = 1")
    berlin.sql("delete from again where id = 2")
    agree(mesh)
    collect(leipzig)
    assert register(leipzig, "public.again") == []
    session = leipzig.server.connect("app", "postgres")
    session.execute("set session_replication_role = replica")
    for document in berlin.admin(
        "select to_jsonb(j)::text from multiserver.journal j join multiserver.tables t using (table_id)"
        " where t.name = 'public.again' order by version"
    ):
        session.execute(
            "select multiserver.merge_rows(jsonb_populate_record(null::multiserver.journal, %s::jsonb))", [document]
        )
    session.close()
    assert mesh.equal("select * from again") == [(1, "new")]
    assert register(leipzig, "public.again") == []


def test_a_change_after_the_collection_is_no_conflict_and_wins(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    berlin.sql("create table resumed (id integer primary key, note text)")
    berlin.sql("insert into resumed values (1, 'a'), (2, 'a'), (3, 'a')")
    berlin.sql("delete from resumed where id = 3")
    agree(mesh)
    collect(berlin)
    berlin.sql("update resumed set note = 'b' where id = 1")
    berlin.sql("insert into resumed values (3, 'b')")
    hamburg.sql("update resumed set note = 'c' where id = 2")
    assert mesh.equal("select note from resumed order by id") == ["b", "c", "b"]
    assert logs(mesh, "resumed") == NOTHING
    with cut_off(mesh):
        hamburg.sql("update resumed set note = 'lost' where id = 1")
        berlin.sql("update resumed set note = 'kept' where id = 1")
    mesh.drain()
    assert {entry[:2] for entries in logs(mesh, "resumed").values() for entry in entries} == {("hamburg", "(1,lost)")}


def test_a_clock_put_back_writes_nothing_below_what_was_promised(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table backwards (id integer primary key, note text)")
    berlin.sql("insert into backwards values (1, 'a'), (2, 'a')")
    agree(mesh)
    for site in mesh:
        collect(site)
    berlin.admin(f"{SET_CLOCK} {WALL_CLOCK} - 3600 * 1000000::bigint")
    try:
        berlin.sql("update backwards set note = 'an hour ago' where id = 1")
        berlin.sql("delete from backwards where id = 2")
        berlin.sql("insert into backwards values (3, 'an hour ago')")
        mesh.drain_by_rows("select * from backwards order by id")
        assert hamburg.sql("select * from backwards order by id") == [(1, "an hour ago"), (3, "an hour ago")]
    finally:
        berlin.admin(f"{SET_CLOCK} {WALL_CLOCK}")
    mesh.drain()
    mesh.equal("select * from backwards order by id")


def test_a_silent_site_keeps_all_register_rows(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table held (id integer primary key)")
    berlin.sql("insert into held values (1)")
    berlin.sql("delete from held")
    agree(mesh)
    older = "received_at = received_at - interval '1 hour'"
    berlin.admin(f"update multiserver.heartbeats set {older} where server_number = 3")
    assert berlin.admin("select hold from multiserver.sizes") == ["site leipzig is silent"]
    assert berlin.admin("select multiserver.agreed_horizon()") == [None]
    before = berlin.admin("select multiserver.collected_horizon()")
    berlin.admin("select multiserver.collect_registers()")
    assert berlin.admin("select multiserver.collected_horizon()") == before
    mesh.drain()
    assert berlin.admin("select hold from multiserver.sizes") == [None]


def test_a_site_that_does_not_receive_holds_the_horizon(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    agree(mesh)
    leipzig.cut(berlin)
    try:
        berlin.sql("create table if not exists unheard (id integer primary key)")
        now = berlin.admin(f"select {WALL_CLOCK} << 10")[0]
        Mesh([berlin, hamburg]).drain()
        Mesh([hamburg, leipzig]).drain()
        assert not reached(berlin, now)
        assert not reached(hamburg, now)
    finally:
        leipzig.heal(berlin)
    eventually(lambda: mesh.drain() or reached(hamburg, now), "the horizon moves again")


def test_a_writing_transaction_holds_its_sites_promise(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table slow (id integer primary key)")
    session = berlin.server.connect("app", "app")
    with session.transaction():
        session.execute("insert into slow values (1)")
        started = session.execute(f"select {WALL_CLOCK} << 10").fetchone()
        assert started
        mesh.drain()
        assert berlin.admin("select multiserver.promise_horizon() < %s", [started[0]]) == [True]
    session.close()
    assert berlin.admin("select multiserver.promise_horizon() > %s", [started[0]]) == [True]


def test_a_prepared_transaction_holds_its_sites_promise(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """It belongs to no session, and a crash does not end it."""
    berlin.sql("create table prepared (id integer primary key)")
    agree(mesh)
    session = berlin.server.connect("app", "app")
    session.execute("begin")
    session.execute("insert into prepared values (1)")
    written = session.execute(f"select {WALL_CLOCK} << 10").fetchone()
    session.execute("prepare transaction 'later'")
    session.close()
    try:
        assert written
        for _ in range(3):
            mesh.drain()
            assert berlin.admin("select multiserver.promise_horizon() < %s", written) == [True]
        collect(berlin)
        collect(hamburg)
        assert hamburg.admin("select multiserver.collected_horizon() < %s", written) == [True]
    finally:
        berlin.sql("commit prepared 'later'")
    assert mesh.equal("select id from prepared") == [1]
    assert register(hamburg, "public.prepared") == [("(1)", False)]
    assert berlin.admin("select multiserver.promise_horizon() > %s", written) == [True]


def test_a_link_in_doubt_vouches_for_nothing(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    agree(mesh)
    hamburg.admin("update multiserver.links set doubted_at = now() where peer_number = 1")
    try:
        assert hamburg.admin("select hold from multiserver.sizes") == ["the link from site berlin is in doubt"]
        now = berlin.admin(f"select {WALL_CLOCK} << 10")[0]
        mesh.drain()
        assert not reached(berlin, now)
    finally:
        hamburg.admin("update multiserver.links set doubted_at = null")


def test_parked_keys_and_live_rows_with_unique_values_keep_theirs(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table gc_kept (id integer primary key, login text unique)")
    with cut_off(mesh):
        berlin.sql("insert into gc_kept values (1, 'anna')")
        hamburg.sql("insert into gc_kept values (2, 'anna'), (3, 'gone')")
        hamburg.sql("delete from gc_kept where id = 3")
    agree(mesh)
    for site in mesh:
        collect(site)
    assert register(berlin, "public.gc_kept") == [("(1)", False), ("(2)", False)]
    hamburg.sql("delete from gc_kept where id = 2")
    assert mesh.equal("select * from gc_kept") == [(1, "anna")]


def test_registers_are_gone_through_in_small_steps(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table steps_of_blocks (id integer primary key)")
    berlin.sql("insert into steps_of_blocks select generate_series(1, 5000)")
    berlin.sql("delete from steps_of_blocks")
    agree(mesh)
    berlin.admin("select multiserver.collect_registers(1)")
    counts = []
    for _ in range(400):
        counts += berlin.admin("select multiserver.collect_registers(10)")
        if register(berlin, "public.steps_of_blocks") == []:
            break
    assert register(berlin, "public.steps_of_blocks") == []
    assert 0 < max(counts) < 5000
