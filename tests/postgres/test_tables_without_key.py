"""Tables without primary key: rows can be added and reach every site exactly once; all else needs a key."""

from uuid import UUID

import psycopg
import pytest

from tests.postgres.mesh import Mesh, Site
from tests.postgres.test_conflicts import cut_off
from tests.postgres.test_schema import shape

APPENDED = """
select event from multiserver.appended join multiserver.tables t using (table_id) where t.name = %s order by event
"""


def test_rows_added_at_each_site_are_at_all_of_them_even_if_they_are_alike(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table audit_lines (at integer, what text)")
    mesh.drain()
    with cut_off(mesh):
        for site in mesh:
            site.sql("insert into audit_lines values (1, 'login'), (1, 'login')")
            site.sql("insert into audit_lines values (1, 'login')")
    assert mesh.equal("select count(*), count(distinct audit_lines) from audit_lines") == [(9, 1)]


def test_an_event_that_comes_again_adds_nothing(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table meter (reading integer)")
    mesh.drain()
    hamburg.sql("insert into meter select generate_series(1, 5)")
    mesh.drain()
    assert len(berlin.admin(APPENDED, ["public.meter"])) == 1
    berlin.admin("begin; set local session_replication_role = replica;" + AGAIN + "commit")
    assert mesh.equal("select count(*) from meter") == [5]


KEPT = """
select row(version, null, layout, table_id, 'A', null, event::text || content, null)::multiserver.journal
from multiserver.appended
"""

AGAIN = f"""
do $$
declare
  again multiserver.journal;
begin
  for again in select (kept.event).* from ({KEPT}) as kept (event) loop
    perform multiserver.merge_append(again);
  end loop;
end $$;
"""


def test_a_pull_brings_exactly_the_events_that_are_missing(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """What a site does that lost its link to another for good: it asks for the events whose names it does not have."""
    berlin.sql("create table pulled (n integer)")
    berlin.sql("insert into pulled values (1)")
    mesh.drain()
    known: list[UUID] = hamburg.admin("select event from multiserver.appended")
    with cut_off(mesh):
        berlin.sql("insert into pulled values (2)")
        missing = berlin.admin(f"select e::text from ({KEPT} where event <> all (%s)) as kept (e)", [known])
        assert len(missing) == 1
        merge = "select multiserver.merge_append(%s::multiserver.journal)"
        session = hamburg.server.connect("app", "postgres")
        session.execute("set session_replication_role = replica")
        session.execute(merge, missing)
        session.execute("reset session_replication_role")
        assert hamburg.sql("select n from pulled order by n") == [1, 2]
    assert mesh.equal("select n from pulled order by n") == [1, 2]  # and the link's own delivery adds nothing


def test_an_event_is_forgotten_when_every_site_has_it(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table heard (n integer)")
    berlin.sql("insert into heard values (1)")
    mesh.drain()
    for site in mesh:  # at all of them, or else they would differ for the tests that follow
        site.admin("select multiserver.forget_appended(multiserver.version_at(multiserver.wall_clock(), 0))")
        assert site.admin(APPENDED, ["public.heard"]) == []
    assert mesh.equal("select n from heard") == [1]


@pytest.mark.parametrize("statement", ["update events set what = 'x'", "delete from events", "truncate events"])
def test_changing_or_deleting_needs_a_key(berlin: Site, hamburg: Site, mesh: Mesh, statement: str) -> None:
    berlin.sql("create table if not exists events (id serial, what text)")
    mesh.drain()
    for site in (berlin, hamburg):
        site.sql("insert into events (what) values ('a')")
        with pytest.raises(psycopg.DatabaseError) as refused:
            site.sql(statement)
        assert refused.value.diag.sqlstate == "MS011"
        assert refused.value.diag.message_primary == (
            "table public.events has no primary key: add one (ALTER TABLE public.events ADD PRIMARY KEY (id)), "
            "or exclude it"
        )
        assert "spec.schema.localTables" in (refused.value.diag.message_hint or "")
    berlin.sql("update events set what = 'x' where false")


def test_a_key_that_is_added_makes_it_a_table_like_all_others(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table notes (id integer not null, note text)")
    mesh.drain()
    hamburg.sql("insert into notes values (1, 'a')")
    mesh.drain()
    with cut_off(mesh):
        hamburg.sql("insert into notes values (2, 'under way')")
        berlin.sql("alter table notes add primary key (id)")
        berlin.sql("update notes set note = 'changed' where id = 1")
    mesh.drain()
    hamburg.sql("update notes set note = 'there' where id = 2")
    assert mesh.equal("select * from notes order by id") == [(1, "changed"), (2, "there")]
    hamburg.sql("delete from notes where id = 1")
    assert mesh.equal("select id from notes") == [2]
    assert shape(mesh, "notes")


def test_rows_that_were_there_before_travel_once(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table loaded as select n as id, 'row ' || n as name from generate_series(1, 50) n")
    assert mesh.equal("select count(*) from loaded") == [50]
    berlin.sql("alter table loaded add primary key (id)")
    assert mesh.equal("select count(*), min(name) from loaded") == [(50, "row 1")]


def test_a_column_added_while_rows_are_under_way(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table lines (n integer)")
    mesh.drain()
    with cut_off(mesh):
        hamburg.sql("insert into lines values (1)")
        berlin.sql("alter table lines add column colour text not null default 'red'")
        berlin.sql("insert into lines values (2, 'blue')")
    assert mesh.equal("select * from lines order by n") == [(1, "red"), (2, "blue")]


def test_rows_that_foreign_key_actions_would_change_keep_their_parent(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table cities (id integer primary key)")
    berlin.sql("create table trips (city integer references cities on delete cascade, note text)")
    berlin.sql("insert into cities values (1), (2)")
    berlin.sql("insert into trips values (1, 'a')")
    with pytest.raises(psycopg.DatabaseError, match=r"table public\.trips has no primary key"):
        berlin.sql("delete from cities where id = 1")
    berlin.sql("delete from cities where id = 2")
    assert mesh.equal("select id, note from cities join trips on city = id") == [(1, "a")]


def test_a_row_that_one_site_refuses_is_parked_there_and_stored_when_it_may_be(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    berlin.sql("create table ticks (n integer)")
    mesh.drain()
    hamburg.admin("set event_triggers = off; alter table ticks add constraint one_sided check (n < 10)")
    berlin.sql("insert into ticks values (1), (20)")
    mesh.drain()
    assert hamburg.sql("select n from ticks") == [1]
    hamburg.admin("alter table ticks drop constraint one_sided; reset event_triggers")
    hamburg.admin("update multiserver.parked set next_try = clock_timestamp()")
    assert mesh.equal("select n from ticks order by n") == [1, 20]
    assert hamburg.admin(
        "select count(*) from multiserver.parked join multiserver.tables t using (table_id) "
        "where t.name = 'public.ticks'"
    ) == [0]
