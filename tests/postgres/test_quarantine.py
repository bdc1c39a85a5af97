"""A row that one site cannot store is parked there with its SQLSTATE; the link goes on, and it returns when it can."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from multiserver.replication import observe
from tests.postgres.mesh import Mesh, Site
from tests.postgres.rounds import facts_of
from tests.postgres.servers import eventually

PARKED = (
    "select p.key, p.sqlstate, p.reason from multiserver.parked p join multiserver.tables t using (table_id)"
    " where t.name = %s order by p.key"
)


def parked(site: Site, table: str) -> list[Any]:
    return site.admin(PARKED, [f"public.{table}"])


def only_here(site: Site, *statements: str) -> None:
    """Change the schema of one site behind the engine's back, as a mistaken administrator can."""
    session = site.server.connect("app", "postgres")
    session.execute("set event_triggers = off")
    for statement in statements:
        session.execute(statement.encode())
    session.close()


@contextmanager
def one_sided(site: Site, table: str, constraint: str) -> Iterator[None]:
    only_here(site, f"alter table {table} add constraint only_here {constraint}")
    try:
        yield
    finally:
        only_here(site, f"alter table {table} drop constraint only_here")


def test_a_one_sided_check_holds_up_no_link(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table doses (id integer primary key, amount integer)")
    berlin.sql("insert into doses values (1, 1)")
    mesh.drain()
    with one_sided(hamburg, "doses", "check (amount < 10)"):
        berlin.sql("insert into doses values (2, 20), (3, 3)")
        berlin.sql("update doses set amount = 30 where id = 1")
        berlin.sql("insert into doses values (4, 4)")
        mesh.drain()
        assert hamburg.sql("select * from doses order by id") == [(3, 3), (4, 4)]
        message = 'new row for relation "doses" violates check constraint "only_here"'
        assert parked(hamburg, "doses") == [("(1)", "23514", message), ("(2)", "23514", message)]
        assert parked(berlin, "doses") == []
    eventually(lambda: mesh.drain() or parked(hamburg, "doses") == [], "the parked rows are stored")
    assert mesh.equal("select * from doses order by id") == [(1, 30), (2, 20), (3, 3), (4, 4)]
    mesh.assert_registers_equal()


def test_many_refused_rows_wait_only_once_and_are_counted_up_to_a_limit(
    two: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table many_doses (id integer primary key, amount integer)")
    two.drain()
    errors = hamburg.link_error_count()
    with one_sided(hamburg, "many_doses", "check (amount < 10)"):
        berlin.sql("insert into many_doses select n, n from generate_series(1, 20) n")
        for key in range(21, 40):
            berlin.sql("insert into many_doses values (%s, %s)", [key, key % 20])
        two.drain()
        assert hamburg.link_error_count() <= errors + 1
        assert len(parked(hamburg, "many_doses")) == 11 + 10
        monkeypatch.setattr(observe, "COUNTED_MAX", 5)
        facts = asyncio.run(facts_of(hamburg))
        assert (facts.parked_count, facts.refused_count) == (5, 5)
    eventually(lambda: two.drain() or parked(hamburg, "many_doses") == [], "the parked rows are stored")
    assert two.equal("select count(*) from many_doses") == [39]


def test_a_value_that_one_site_cannot_read(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create type size as enum ('small', 'large')")
    berlin.sql("create table shirts (name text, id integer, size size, primary key (id, name))")
    mesh.drain()
    only_here(hamburg, "alter type size rename value 'large' to 'big'")
    berlin.sql("insert into shirts values ('a', 1, 'small'), ('b, \"c\"', 2, 'large')")
    mesh.drain()
    assert hamburg.sql("select name from shirts") == ["a"]
    assert [row[:2] for row in parked(hamburg, "shirts")] == [('(2,"b, ""c""")', "22P02")]
    only_here(hamburg, "alter type size rename value 'big' to 'large'")
    eventually(lambda: mesh.drain() or parked(hamburg, "shirts") == [], "the parked row is stored")
    assert mesh.equal("select size::text from shirts order by id") == ["small", "large"]


def test_an_error_that_the_application_raises(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create function allowed(amount integer) returns boolean language plpgsql as 'begin return true; end'")
    berlin.sql("create table fees (id integer primary key, amount integer check (allowed(amount)))")
    mesh.drain()
    body = "begin if amount > 9 then raise ''too much''; end if; return true; end"
    create = "create or replace function allowed(amount integer) returns boolean language plpgsql as"
    only_here(hamburg, f"{create} '{body}'")
    berlin.sql("insert into fees values (1, 10), (2, 2)")
    mesh.drain()
    assert parked(hamburg, "fees") == [("(1)", "P0001", "too much")]
    only_here(hamburg, f"{create} 'begin return true; end'")
    eventually(lambda: mesh.drain() or parked(hamburg, "fees") == [], "the parked row is stored")
    mesh.equal("select * from fees order by id")


def test_a_refused_row_that_changes_again_is_no_longer_parked(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table refunds (id integer primary key, amount integer)")
    mesh.drain()
    with one_sided(hamburg, "refunds", "check (amount < 10)"):
        berlin.sql("insert into refunds values (1, 10), (2, 10)")
        mesh.drain()
        assert len(parked(hamburg, "refunds")) == 2
        berlin.sql("update refunds set amount = 1 where id = 1")
        berlin.sql("delete from refunds where id = 2")
        eventually(lambda: mesh.drain() or parked(hamburg, "refunds") == [], "nothing is parked")
        assert mesh.equal("select * from refunds") == [(1, 1)]
    mesh.assert_registers_equal()


def test_a_refused_row_is_tried_less_and_less_often(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table delays (id integer primary key, amount integer)")
    mesh.drain()
    tries = "select attempts from multiserver.parked join multiserver.tables t using (table_id) where t.name = %s"
    with one_sided(hamburg, "delays", "check (amount < 10)"):
        berlin.sql("insert into delays values (1, 10)")
        eventually(lambda: mesh.drain() or hamburg.admin(tries, ["public.delays"])[0] >= 3, "tried three times")
        pause = "select max(next_try - parked_at) > interval '3.9 seconds' from multiserver.parked"
        assert hamburg.admin(pause) == [True]
    eventually(lambda: mesh.drain() or parked(hamburg, "delays") == [], "the parked row is stored")


def test_what_must_wait_is_never_parked(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    berlin.sql("create table waiting (id integer primary key)")
    mesh.drain()
    leipzig.cut(berlin)
    try:
        berlin.sql("alter table waiting add note text")
        Mesh([berlin, hamburg]).drain()
        hamburg.sql("insert into waiting values (1, 'new')")
        errors = leipzig.link_error_count()
        eventually(lambda: leipzig.link_error_count() > errors + 1, "the link has tried twice")
        assert parked(leipzig, "waiting") == []
    finally:
        leipzig.heal(berlin)
    assert mesh.equal("select * from waiting") == [(1, "new")]


def test_which_errors_are_a_rows_own_fault(berlin: Site) -> None:
    query = partial(berlin.admin, "select multiserver.is_row_fault(%s)")
    own = ("23514", "23502", "22P02", "22003", "P0001", "P0004", "42P01", "42501", "54000", "AB123")
    passing = ("MS001", "MS002", "40P01", "40001", "53100", "53200", "55P03", "57014", "57P01", "42703", "23505")
    assert {state: query([state])[0] for state in (*own, *passing)} == {
        **dict.fromkeys(own, True),
        **dict.fromkeys(passing, False),
    }
