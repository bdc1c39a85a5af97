"""What the application's code can do: no more at a peer than at home, and nothing to the engine."""

import psycopg
import pytest

from tests.postgres.mesh import Mesh, Site

WHO_RUNS_IT = (
    "create function check_who(value text) returns boolean language plpgsql as $$ begin"
    "  if not current_setting('is_superuser')::boolean then return true; end if;"
    "  execute 'alter role app createdb'; return true; end $$"
)


def test_a_check_function_does_not_run_as_superuser_at_a_peer(mesh: Mesh, berlin: Site) -> None:
    berlin.sql(WHO_RUNS_IT)
    berlin.sql("create table traps (id integer primary key, value text check (check_who(value)))")
    berlin.sql("insert into traps values (1, 'x')")
    mesh.equal("select * from traps")
    assert [site.admin("select rolcreatedb from pg_roles where rolname = 'app'") for site in mesh] == [[False]] * 3


def test_a_check_function_cannot_change_the_engine_at_a_peer(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql(
        "create function check_engine(value text) returns text language plpgsql as $$ begin"
        "  execute 'create or replace function multiserver.wall_clock() returns bigint language sql return 1';"
        "  return 'changed'; exception when insufficient_privilege then return 'refused'; end $$"
    )
    berlin.sql("create table probes (id integer primary key, value text)")
    berlin.sql("alter table probes add constraint c check (check_engine(value) = 'refused')")
    berlin.sql("insert into probes values (1, 'x')")
    assert mesh.equal("select value from probes") == ["x"]


def test_the_application_may_call_nothing_and_write_nothing_of_the_engine(berlin: Site) -> None:
    for statement in (
        "select multiserver.beat()",
        "select multiserver.merge_rows(null)",
        "select multiserver.replicate_table(1, 'x', 1, '{}')",
        "insert into multiserver.journal (version, layout, table_id, kind, content) values (1, 1, 1, 'D', '')",
        "update multiserver.site_settings set server_number = 9",
        "set session_replication_role = replica",
        "set event_triggers = off",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            berlin.sql(statement)


def test_every_function_has_bound_names_and_no_public_right_but_the_one(berlin: Site) -> None:
    query = "select p.oid::regprocedure::text from pg_proc p where pronamespace = 'multiserver'::regnamespace and {}"
    bound = "prosqlbody is null and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)"
    assert berlin.admin(query.format(bound)) == []
    public = "has_function_privilege('public', p.oid, 'EXECUTE')"
    assert berlin.admin(query.format(public)) == ["multiserver.capture_schema_change()"]


def test_no_role_of_the_engine_is_a_superuser(berlin: Site) -> None:
    mighty = "select rolname from pg_roles where rolname ~ '^multiserver_' and (rolsuper or rolcreaterole)"
    assert berlin.admin(mighty) == []
    definers = "pronamespace = 'multiserver'::regnamespace and prosecdef"
    assert berlin.admin(f"select distinct pg_get_userbyid(proowner) from pg_proc where {definers} order by 1") == [
        "multiserver_apply",
        "multiserver_engine",
    ]


def test_functions_that_read_rows_back_into_types_run_as_the_role_that_merges(berlin: Site) -> None:
    query = "select proname from pg_proc where proowner = 'multiserver_apply'::regrole order by 1"
    assert berlin.admin(query) == ["checksums", "comparable", "events_of", "merge_pulled", "states"]


def test_a_peer_may_compare_and_fetch_and_nothing_else(berlin: Site) -> None:
    allowed = berlin.admin(
        "select proname from pg_proc p where pronamespace = 'multiserver'::regnamespace"
        " and has_function_privilege('multiserver_peer', p.oid, 'EXECUTE') order by 1"
    )
    assert allowed == [
        "capture_schema_change",
        "checksums",
        "comparable",
        "events_of",
        "known_position",
        "peer_facts",
        "states",
    ]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        berlin.server.sql("select * from multiserver.parked", database="app", user="multiserver_peer")
