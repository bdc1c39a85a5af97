"""Pulling: what a lost slot has swallowed comes back, whatever happens meanwhile."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from multiserver.postgres.connect import Connection
from multiserver.postgres.errors import DatabaseError
from multiserver.replication import compare
from multiserver.replication import pull as pulling
from multiserver.replication.compare import NotComparable
from tests.postgres.comparing import both, lose_slots, pull, verify, writing
from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_quarantine import one_sided, only_here, parked


def test_rows_lost_behind_a_dropped_slot_come_back_both_ways_while_writers_run(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table orders (id bigserial primary key, site integer, note text)")
    berlin.sql("create table items (id integer primary key, note text)")
    berlin.sql("insert into items select n, 'old' from generate_series(1, 100) n")
    two.drain()
    two.cut_all()
    berlin.sql("insert into orders (site, note) select 1, 'lost' from generate_series(1, 3000)")
    hamburg.sql("insert into orders (site, note) select 2, 'lost' from generate_series(1, 1500)")
    berlin.sql("delete from items where id <= 10 and id <> 5")
    hamburg.sql("update items set note = 'hamburg' where id > 90")
    hamburg.sql("update items set note = 'earlier' where id = 5")
    berlin.sql("delete from items where id = 5")
    lose_slots(two)
    with writing(two.sites, lambda site, _: f"insert into orders (site, note) values ({site.number}, 'new')"):
        two.heal_all()
        assert pull(hamburg, berlin) >= 3010
        assert pull(berlin, hamburg) >= 1510
    counts = two.equal("select site, note, count(*) from orders group by 1, 2 order by 1, 2")
    assert [row for row in counts if row[1] == "lost"] == [(1, "lost", 3000), (2, "lost", 1500)]
    assert two.equal("select note, count(*) from items group by 1 order by 1") == [("hamburg", 10), ("old", 80)]
    two.assert_registers_equal()
    assert verify(berlin, hamburg).is_equal


def test_a_pulled_deletion_is_not_undone_by_the_older_row_that_comes_later(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    two.drain()
    berlin.cut(hamburg)
    hamburg.sql("insert into items values (1, 'older')")
    Mesh([hamburg]).drain()
    hamburg.sql("delete from items")
    assert pull(berlin, hamburg) == 1
    berlin.heal(hamburg)
    assert two.equal("select * from items") == []
    two.assert_registers_equal()


def test_a_pull_of_what_is_there_does_nothing_and_is_not_journaled(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table pulled_twice (id integer primary key, note text)")
    berlin.sql("insert into pulled_twice values (1, 'x')")
    mesh.drain()
    before = hamburg.sql("select xmin::text from pulled_twice")
    assert pull(hamburg, berlin) == 0
    assert hamburg.sql("select xmin::text from pulled_twice") == before


def test_a_pull_reads_what_was_changed_lately_and_not_the_whole_table(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    berlin.sql("insert into items select n, 'old' from generate_series(1, 1000) n")
    two.drain()
    two.cut_all()
    berlin.sql("update items set note = 'new' where id <= 5")
    read = "select seq_tup_read from pg_stat_user_tables where relname = 'items'"
    pulling_now = "select 1 from pg_stat_activity where application_name = 'multiserver'"
    before = [site.admin(read) for site in two]
    assert pull(hamburg, berlin) == 5
    for site in two:
        eventually(lambda site=site: not site.admin(pulling_now), "what the sessions counted is handed in")  # type: ignore[misc]
    assert [site.admin(read) for site in two] == before
    two.heal_all()
    two.equal("select * from items order by id")


def test_parked_rows_are_pulled_and_count_as_the_state_of_their_key(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table users (id integer primary key, login text unique)")
    two.drain()
    two.cut_all()
    berlin.sql("insert into users values (1, 'anna')")
    hamburg.sql("insert into users values (2, 'anna')")
    lose_slots(two)
    assert pull(hamburg, berlin) == 1
    assert hamburg.sql("select id from users") == [2]
    assert pull(berlin, hamburg) == 1
    assert berlin.sql("select id from users") == [2]
    parked = "select key, image from multiserver.parked"
    assert berlin.admin(parked) == hamburg.admin(parked) == [("(1)", "(1,anna)")]
    two.heal_all()
    assert verify(berlin, hamburg).is_equal
    hamburg.sql("update users set login = 'else' where id = 2")
    assert two.equal("select * from users order by id") == [(1, "anna"), (2, "else")]


def test_a_parked_row_is_handed_to_a_site_that_lacks_it(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    berlin.sql("create table handles (id integer primary key, login text unique)")
    mesh.drain()
    mesh.cut_all()
    try:
        berlin.sql("insert into handles values (1, 'anna')")
        hamburg.sql("insert into handles values (2, 'anna')")
        pull(hamburg, berlin)
        assert pull(leipzig, hamburg) == 2
        assert leipzig.sql("select id from handles") == [2]
        assert leipzig.admin(
            "select key from multiserver.parked p join multiserver.tables using (table_id)"
            " where name = 'public.handles'"
        ) == ["(1)"]
    finally:
        mesh.heal_all()
    mesh.drain()


def test_rows_of_a_table_without_key_are_pulled_exactly_once(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table log (at timestamptz default now(), words text)")
    berlin.sql("insert into log (words) values ('seen')")
    two.drain()
    two.cut_all()
    berlin.sql("insert into log (words) select 'it''s lost, {' || n || '}' from generate_series(1, 30) n")
    hamburg.sql("insert into log (words) values (null), ('lost too')")
    lose_slots(two)
    berlin.sql("insert into log (words) values ('under way')")
    assert pull(hamburg, berlin) == 2
    assert pull(berlin, hamburg) == 1
    assert pull(berlin, hamburg) == 0
    two.heal_all()
    assert two.equal("select count(*), count(distinct words), count(words) from log") == [(34, 33, 33)]
    assert verify(hamburg, berlin).is_equal


def test_rows_larger_than_one_answer_come_one_by_one(
    mesh: Mesh, berlin: Site, hamburg: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "BYTES_AT_ONCE", 1000)
    berlin.sql("create table scans (id integer primary key, picture text)")
    mesh.drain()
    hamburg.cut(berlin)
    try:
        berlin.sql("insert into scans select n, repeat('x', 300 * n) from generate_series(1, 12) n")
        berlin.sql("delete from scans where id = 12")
        assert pull(hamburg, berlin) == 12
        rows = "select id, length(picture) from scans order by id"
        assert hamburg.sql(rows) == [(n, 300 * n) for n in range(1, 12)]
    finally:
        hamburg.heal(berlin)
    mesh.drain()


def test_a_pulled_row_that_the_site_refuses_is_parked_and_holds_up_no_other(
    mesh: Mesh, berlin: Site, hamburg: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "ROWS_AT_ONCE", 10)
    berlin.sql("create type shade as enum ('light')")
    berlin.sql("create table paints (id integer primary key, amount integer, shade shade)")
    mesh.drain()
    hamburg.cut(berlin)
    with one_sided(hamburg, "paints", "check (amount > 0)"):
        berlin.sql("insert into paints select n, n - 50 from generate_series(1, 100) n")
        only_here(berlin, "alter type shade add value 'dark'")
        berlin.sql("update paints set shade = 'dark' where id = 99")
        assert pull(hamburg, berlin) == 100
        assert hamburg.sql("select count(*) from paints") == [49]
        assert len(parked(hamburg, "paints")) == 51
        hamburg.heal(berlin)
        mesh.drain()
        assert verify(hamburg, berlin).is_equal
        assert pull(berlin, hamburg) == 0
    for peer in mesh.peers(berlin):
        only_here(peer, "alter type shade add value 'dark'")
    eventually(lambda: mesh.drain() or not any(parked(site, "paints") for site in mesh), "the rows are stored", 60)
    assert mesh.equal("select count(*) from paints") == [100]


async def test_sites_of_different_schema_versions_wait(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    mesh.drain()
    hamburg.cut(berlin)
    try:
        berlin.sql("create table not_there_yet (id integer primary key)")
        async with both(hamburg, berlin) as (own, peer):
            with pytest.raises(NotComparable, match="waiting until both have the same"):
                await pulling.pull(own, peer)
            started = await compare.describe(own)
            with pytest.raises(DatabaseError, match="waiting until both sites have the same"):
                await peer.rows("select multiserver.checksums(1, %s, 0, 1, false)", [started.schema])
    finally:
        hamburg.heal(berlin)
    mesh.drain()
    async with both(hamburg, berlin) as (own, peer):
        assert (await pulling.pull(own, peer)).rows == 0


class Killed(Exception):
    """The pulling process is gone."""


async def test_a_pull_killed_at_any_statement_is_completed_by_the_next(
    two: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    berlin.sql("create table users (id integer primary key, login text unique)")
    two.drain()
    two.cut_all()
    berlin.sql("insert into items select n, 'x' from generate_series(1, 2500) n")
    berlin.sql("delete from items where id % 5 = 0")
    berlin.sql("insert into users select n, 'user ' || n from generate_series(1, 2500) n")
    monkeypatch.setattr(pulling, "ROWS_AT_ONCE", 400)
    run, kills = Connection._run, 0
    for fatal in range(1, 200):
        done = itertools.count(1)

        async def run_and_die(
            connection: Connection, *arguments: object, done: Iterator[int] = done, fatal: int = fatal
        ) -> object:
            result = await run(connection, *arguments)  # type: ignore[arg-type]
            if next(done) == fatal:
                await connection._raw.close()
                raise Killed
            return result

        monkeypatch.setattr(Connection, "_run", run_and_die)
        try:
            async with both(hamburg, berlin) as (own, peer):
                await pulling.pull(own, peer)
        except Killed:
            kills += 1
            continue
        break
    monkeypatch.setattr(Connection, "_run", run)
    assert kills > 10
    for table in ("items", "users"):
        assert hamburg.sql(f"select * from {table} order by id") == berlin.sql(f"select * from {table} order by id")
    two.assert_registers_equal()
    two.heal_all()
    two.drain()


async def test_a_pulling_session_that_the_server_ends_is_an_error_and_not_a_result(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    two.drain()
    two.cut_all()
    berlin.sql("insert into items select n, 'x' from generate_series(1, 5000) n")

    def end_it(words: str) -> None:
        if f"{pulling.ROWS_AT_ONCE} rows pulled" in words:
            hamburg.admin(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'multiserver'"
            )

    with pytest.raises(DatabaseError):
        async with both(hamburg, berlin) as (own, peer):
            await pulling.pull(own, peer, end_it)
    async with both(hamburg, berlin) as (own, peer):
        assert (await pulling.pull(own, peer)).rows == 5000 - pulling.ROWS_AT_ONCE
    two.heal_all()
    two.drain()


def test_code_of_the_application_that_a_pull_drags_along_is_no_superuser(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql(
        "create function try_it(value text) returns boolean language plpgsql as $$ begin"
        "  begin execute 'reset role'; exception when others then null; end;"
        "  begin execute 'reset session authorization'; exception when others then null; end;"
        "  begin execute 'alter role app createdb'; exception when insufficient_privilege then null; end;"
        "  return true; end $$"
    )
    berlin.sql("create table traps (id integer primary key, value text check (try_it(value)))")
    two.drain()
    two.cut_all()
    berlin.sql("insert into traps values (1, 'x')")
    assert pull(hamburg, berlin) == 1
    assert hamburg.admin("select rolcreatedb from pg_roles where rolname = 'app'") == [False]
    assert hamburg.sql("select value from traps") == ["x"]
    two.heal_all()
    two.drain()


@contextmanager
def merged_one_by_one(site: Site, table: str) -> Iterator[list[int]]:
    """Tell how many rows of a table sessions that begin here merge one by one."""
    site.admin("alter database app set track_functions = 'pl'")
    query = (
        "select coalesce(sum(calls), 0)::bigint from pg_stat_user_functions join multiserver.tables"
        " on funcname = 'merge_one_' || table_id where schemaname = 'multiserver' and name = %s"
    )
    [before] = site.admin(query, [f"public.{table}"])
    counted: list[int] = []
    try:
        yield counted
        mine = "select 1 from pg_stat_activity where application_name = 'multiserver'"
        eventually(lambda: not site.admin(mine), "the sessions have ended, and handed in what they counted")
        counted += [site.admin(query, [f"public.{table}"])[0] - before]
    finally:
        site.admin("alter database app reset track_functions")


def test_rows_that_are_not_plain_cost_a_bulk_pull_only_themselves(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    berlin.sql("insert into items select n, 'old' from generate_series(1, 1000) n")
    two.drain()
    two.cut_all()
    hamburg.sql("update items set note = 'hamburg, earlier' where id = 100")
    berlin.sql("update items set note = 'berlin' where id <= 900")
    berlin.sql("delete from items where id between 801 and 900")
    hamburg.sql("update items set note = 'hamburg, later' where id = 200")
    hamburg.sql("delete from items where id = 300")
    unchanged = "select id, xmin::text from items where id > 900 order by id"
    before = hamburg.sql(unchanged)
    with (
        one_sided(hamburg, "items", "check (id <> 400 or note <> 'berlin')"),
        merged_one_by_one(hamburg, "items") as merged,
    ):
        assert pull(hamburg, berlin) == 898
        assert [row[:2] for row in parked(hamburg, "items")] == [("(400)", "23514")]
    assert 4 <= merged[0] <= 4 * 16  # The few rows that looked at it, with their nearest neighbours.
    assert hamburg.sql("select note, count(*) from items group by 1 order by 1") == [
        ("berlin", 797),
        ("hamburg, later", 1),
        ("old", 100),
    ]
    assert hamburg.sql(unchanged) == before
    conflicts = "select key, losing_site, losing_row, winning_row from multiserver.conflict_log order by key"
    assert hamburg.admin(conflicts) == [("(100)", "hamburg", '(100,"hamburg, earlier")', "(100,berlin)")]
    lose_slots(two)
    two.heal_all()
    pull(berlin, hamburg)
    eventually(lambda: two.drain() or parked(hamburg, "items") == [], "the parked row is stored")
    assert berlin.admin(conflicts) == [
        ("(200)", "berlin", "(200,berlin)", '(200,"hamburg, later")'),
        ("(300)", "berlin", "(300,berlin)", "deleted"),
    ]
    two.equal("select * from items order by id")
    two.assert_registers_equal()


def test_a_unique_index_makes_a_bulk_pull_no_row_by_row_affair(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table users (id integer primary key, login text unique, note text)")
    berlin.sql("insert into users select n, 'user ' || n from generate_series(1, 500) n")
    two.drain()
    two.cut_all()
    hamburg.sql("insert into users values (5000, 'user 777')")
    berlin.sql("update users set login = 'freed ' || id where id = 500")
    berlin.sql("delete from users where id = 1")
    berlin.sql("insert into users select n, 'user ' || n from generate_series(501, 1000) n")
    berlin.sql("insert into users values (1001, 'user 1'), (1002, 'user 500')")
    with merged_one_by_one(hamburg, "users") as merged:
        assert pull(hamburg, berlin) == 504
    assert 1 <= merged[0] <= 32
    assert hamburg.sql("select id from users where login in ('user 777', 'user 500', 'user 1') order by 1") == [
        777,
        1001,
        1002,
    ]
    assert [row[0] for row in parked(hamburg, "users")] == ["(5000)"]
    two.heal_all()
    two.equal("select * from users order by id")
    two.assert_registers_equal()


def test_a_local_change_that_comes_between_the_look_and_the_writing_of_a_bulk_pull_stays(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    berlin.sql("insert into items select n, 'old' from generate_series(1, 100) n")
    two.drain()
    two.cut_all()
    berlin.sql("update items set note = 'berlin'")
    waiting = (
        "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%merge_pulled%'"
        " and application_name = 'multiserver'"
    )
    with hamburg.server.connect("app", "app") as session, ThreadPoolExecutor(1) as pool:
        session.execute("begin")
        session.execute("update items set note = 'hamburg' where id = 50")
        pulling_now = pool.submit(pull, hamburg, berlin)
        eventually(lambda: hamburg.admin(waiting), "the pull waits for the writer")
        session.execute("commit")
        assert pulling_now.result() == 100
    assert hamburg.sql("select note, count(*) from items group by 1 order by 1") == [("berlin", 99), ("hamburg", 1)]
    assert hamburg.admin("select key, losing_row from multiserver.conflict_log") == [("(50)", "(50,berlin)")]
    two.heal_all()
    two.equal("select * from items order by id")
    two.assert_registers_equal()


def test_rows_of_a_table_with_rules_that_fire_always_are_merged(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table ruled (id integer primary key, note text)")
    berlin.sql("create rule nothing as on update to ruled where new.note = 'never' do instead nothing")
    two.drain()
    only_here(hamburg, "alter table ruled enable always rule nothing")
    berlin.sql("insert into ruled select n, 'x' from generate_series(1, 30) n")
    berlin.sql("update ruled set note = 'y'")
    two.equal("select * from ruled order by id")


def test_columns_that_make_themselves_are_merged_as_a_set(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql(
        "create table made (note text, dropped integer, at date, id integer,"
        " twice integer generated always as (id * 2) stored, number integer generated always as identity,"
        " virtual text generated always as (note || '!') virtual, primary key (id, note))"
    )
    berlin.sql("alter table made drop column dropped")
    two.drain()
    two.cut_all()
    berlin.sql("insert into made (note, at, id) select 'n ' || n, '2026-01-01', n from generate_series(1, 50) n")
    with merged_one_by_one(hamburg, "made") as merged:
        assert pull(hamburg, berlin) == 50
        berlin.sql("update made set at = '2026-02-02' where id <= 40")
        berlin.sql("update made set number = default where id = 7")
        berlin.sql("delete from made where id > 40")
        assert pull(hamburg, berlin) == 50
    assert merged[0] <= 8
    assert hamburg.sql("select * from made order by id") == berlin.sql("select * from made order by id")
    two.assert_registers_equal()
