"""A schema change in a transaction whose snapshot is older than its locks loses no row that others have committed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.postgres.mesh import DATABASE, OWNER, Mesh, Site
from tests.postgres.servers import eventually


@contextmanager
def old_snapshot(site: Site, level: str = "repeatable read") -> Iterator[psycopg.Connection[Any]]:
    """Open a transaction that has its snapshot already."""
    session = site.server.connect(DATABASE, OWNER)
    session.execute(f"begin isolation level {level}".encode())
    session.execute("select 1")
    try:
        yield session
    finally:
        session.close()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_key_for_a_table_whose_rows_the_snapshot_may_not_show_is_refused(
    mesh: Mesh, berlin: Site, level: str
) -> None:
    table = f"late_key_{level[:5]}"
    berlin.sql(f"create table {table} (id integer not null unique, note text)")
    add_key = f"alter table {table} add primary key (id)"
    with old_snapshot(berlin, level) as session:
        berlin.sql(f"insert into {table} values (1, 'after the snapshot')")
        with pytest.raises(psycopg.Error, match=f"{level.upper()} transaction, which may not see all rows") as refused:
            session.execute(add_key.encode())
    assert refused.value.sqlstate == "MS012"
    berlin.sql(add_key)
    assert mesh.equal(f"select * from {table}") == [(1, "after the snapshot")]


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        ("alter column note type integer using length(note)", "MS010"),
        ("add column drawn float default random()", "MS010"),
        ("alter column note set not null", "MS004"),
        ("add unique (note)", "MS004"),
    ],
)
def test_what_rows_could_contradict_is_refused_though_the_snapshot_does_not_show_them(
    mesh: Mesh, berlin: Site, change: str, sqlstate: str
) -> None:
    berlin.sql("drop table if exists late_rows")
    berlin.sql("create table late_rows (id integer primary key, note text)")
    with old_snapshot(berlin) as session:
        berlin.sql("insert into late_rows values (1, 'a')")
        with pytest.raises(psycopg.Error) as refused:
            session.execute(f"alter table late_rows {change}".encode())
    assert refused.value.sqlstate == sqlstate
    mesh.equal("select * from late_rows")


def test_an_old_snapshot_may_make_tables_and_widen_them(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table widened (id integer primary key, amount integer)")
    berlin.sql("insert into widened values (1, 1)")
    with old_snapshot(berlin) as session:
        session.execute("alter table widened alter column amount type bigint")
        session.execute("alter table widened add column note text default 'new'")
        session.execute("create table selected as select 1 as id")
        session.execute("alter table selected add primary key (id)")
        session.execute("create table filled (id integer unique)")
        session.execute("insert into filled values (7)")
        session.execute("alter table filled add primary key (id)")
        session.execute("commit")
    assert mesh.equal("select * from widened") == [(1, 1, "new")]
    assert mesh.equal("select id from selected union all select id from filled") == [1, 7]
    mesh.assert_registers_equal()


def test_rows_deleted_while_a_heartbeat_sends_them_are_not_sent(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table sent_late (id integer primary key)")
    mesh.drain()
    berlin.sql("insert into sent_late values (1), (2)")
    mesh.drain()
    hamburg.admin("update multiserver.tables set unsent_rows = true where name = 'public.sent_late'")
    deleting = hamburg.server.connect(DATABASE, OWNER)
    deleting.execute("begin")
    deleting.execute("delete from sent_late where id = 1")
    beating = threading.Thread(target=hamburg.beat)
    beating.start()
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%beat()%'"
    observer = hamburg.server.connect(DATABASE, "postgres")
    eventually(lambda: observer.execute(waits.encode()).fetchone() == (1,), "the heartbeat waits for the row")
    deleting.execute("commit")
    beating.join()
    observer.close()
    deleting.close()
    assert mesh.equal("select id from sent_late") == [2]
    mesh.assert_registers_equal()
