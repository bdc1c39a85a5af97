"""Writers of every isolation level and habit work at all sites at once, and all sites end equal."""

import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_conflict_log import NOTHING, logs

RETRIED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation)

STATEMENTS = (
    "insert into {} values (%(key)s, %(note)s) on conflict (id) do update set note = excluded.note",
    "update {} set note = %(note)s where id = %(key)s",
    "update {} set note = %(note)s where id in (select id from {} where id >= %(key)s order by id limit 2)",
    "delete from {} where id = %(key)s",
)


def write(site: Site, table: str, level: psycopg.IsolationLevel, seed: int) -> int:
    """Do random transactions, each retried as an application would; return how many were committed."""
    dice = random.Random(seed)
    session = site.server.connect("app", "app")
    session.isolation_level = level
    committed = 0
    for _ in range(40):
        for _ in range(20):
            try:
                with session.transaction():
                    for _ in range(dice.randint(1, 3)):
                        statement = dice.choice(STATEMENTS).format(table, table).encode()
                        session.execute(statement, {"key": dice.randint(1, 12), "note": f"{site.name} {seed}"})
                committed += 1
                break
            except RETRIED:
                continue
    session.close()
    return committed


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_concurrent_writers_at_two_sites(
    mesh: Mesh, berlin: Site, hamburg: Site, level: psycopg.IsolationLevel
) -> None:
    table = f"writers_{level.name.lower()}"
    berlin.sql(f"create table {table} (id integer primary key, note text)")
    mesh.drain()
    with ThreadPoolExecutor(4) as pool:
        turns = [pool.submit(write, (berlin, hamburg)[n % 2], table, level, n) for n in range(4)]
        assert [turn.result() for turn in turns] == [40] * 4
    mesh.equal(f"select * from {table} order by id")
    mesh.assert_registers_equal()


def test_changes_of_one_key_in_one_transaction(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table busy_keys (id integer primary key, note text)")
    mesh.drain()
    with hamburg.server.connection("app", "app").transaction():
        hamburg.sql("insert into busy_keys values (1, 'a'), (2, 'a'), (3, 'a')")
        hamburg.sql("update busy_keys set note = 'b'")
        hamburg.sql("delete from busy_keys where id in (1, 2)")
        hamburg.sql("insert into busy_keys values (1, 'c')")
        hamburg.sql("update busy_keys set id = 2 where id = 1")
        hamburg.sql("update busy_keys set note = 'd' where id = 2")
        hamburg.sql("savepoint s")
        hamburg.sql("delete from busy_keys")
        hamburg.sql("rollback to s")
        hamburg.sql("delete from busy_keys where id = 3")
    assert mesh.equal("select * from busy_keys") == [(2, "d")]
    mesh.assert_registers_equal()
    assert logs(mesh, "busy_keys") == NOTHING


def test_one_statement_that_writes_a_row_through_two_expressions(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table moves (id integer primary key, note text)")
    berlin.sql("insert into moves values (1, 'a'), (2, 'a')")
    berlin.sql(
        "with gone as (delete from moves where id = 1 returning *), changed as"
        " (update moves set note = 'b' where id = 2 returning *)"
        " insert into moves select id + 10, note from gone union all select id + 10, note from changed"
    )
    assert mesh.equal("select * from moves order by id") == [(2, "b"), (11, "a"), (12, "b")]
    mesh.assert_registers_equal()


def test_code_of_the_application_in_the_search_path_is_not_called_by_capture(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create schema shadow")
    for signature in ("length(text)", "array_agg_it(text)", "version_after(bigint, bigint)", "date_part(text, text)"):
        berlin.sql(
            f"create function shadow.{signature} returns integer language plpgsql as"
            " $$ begin raise 'called by the engine'; end $$"
        )
    berlin.sql("create table shadow.journal (id integer primary key, note text)")
    session = berlin.server.connect("app", "app")
    session.execute("set search_path = shadow, multiserver, pg_catalog")
    session.execute("insert into shadow.journal values (1, 'a')")
    session.execute("update shadow.journal set note = 'b'")
    session.close()
    assert mesh.equal("select * from shadow.journal") == [(1, "b")]


def test_a_row_that_is_locked_at_a_receiver_delays_only_the_link(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table desks (id integer primary key, note text)")
    berlin.sql("insert into desks values (1, 'a'), (2, 'a')")
    mesh.drain()
    holder = hamburg.server.connect("app", "app")
    with holder.transaction():
        holder.execute("select * from desks where id = 1 for update")
        berlin.sql("update desks set note = 'b' where id = 1")
        locked = "wait_event_type = 'Lock' and usename = 'multiserver_apply'"
        waiting = f"select count(*) from pg_stat_activity where {locked}"
        eventually(lambda: hamburg.admin(waiting) == [1], "the link waits for the row")
        assert hamburg.sql("select note from desks order by id") == ["a", "a"]
        hamburg.sql("update desks set note = 'c' where id = 2")
    holder.close()
    assert mesh.equal("select note from desks order by id") == ["b", "c"]


def test_many_rows_into_a_table_that_was_analyzed_while_it_was_empty(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table stars (id integer primary key, name text unique)")
    mesh.drain()
    for site in mesh:
        site.admin("analyze stars")
    berlin.sql("insert into stars values (0, 'zero')")
    mesh.drain()
    berlin.sql("insert into stars select n, 'star ' || n from generate_series(1, 10000) n")
    mesh.drain()
    assert hamburg.sql("select count(*) from stars") == [10001]
    berlin.sql("update stars set name = name || '!'")
    mesh.drain()
    assert mesh.equal("select count(*) from stars where name like '%%!'") == [10001]
