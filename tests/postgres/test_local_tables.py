"""Tables that the resource declares local: they exist at every site, and each site has rows of its own in them."""

from collections.abc import Iterator

import pytest

from multiserver.postgres.connect import connect
from multiserver.replication.local_tables import ensure_local_tables
from multiserver.replication.observe import observe
from tests.postgres.mesh import Mesh, Site
from tests.postgres.test_real_schemas_refusals import REASON, warnings_of

REFUSED = {
    "local_scans": "table {} (who text primary key, content oid default lo_from_bytea(0, 'scan'))",
    "local_visits": "table {} (who text, during int4range default '[1,2)', exclude using gist (during with &&),"
    " primary key (who))",
    "local_turns": "table {} (who text primary key, n integer default 1, unique (n) deferrable)",
    "local_lines": "table {} (who text unique)",
    "local_cache": "unlogged table {} (who text primary key)",
}
"""Tables that are refused, or whose rows are, unless they are declared local."""


async def declare(mesh: Mesh, *patterns: str) -> list[bool]:
    answers = []
    for site in mesh:
        async with connect(site.target()) as connection:
            answers.append(await ensure_local_tables(connection, patterns))
    return answers


@pytest.fixture(autouse=True)
def nothing_stays_declared(mesh: Mesh) -> Iterator[None]:
    yield
    mesh.drain()
    for site in mesh:
        site.admin("select multiserver.declare_local_tables('{}')")
    mesh.drain()


def rows(mesh: Mesh, table: str) -> list[list[object]]:
    mesh.drain()
    return [site.sql(f"select who from {table} order by 1") for site in mesh]


async def test_rows_stay_where_they_are_written_and_that_is_no_fault(mesh: Mesh, berlin: Site):
    await declare(mesh, "public.django_session", "scratch.*")
    berlin.sql("create schema scratch")
    tables = ["django_session", "scratch.pad", 'scratch."Two Words"']
    for table in tables:
        berlin.sql(f"create table {table} (who text)")
    mesh.drain()
    for table in tables:
        for site in mesh:
            site.sql(f"insert into {table} values ('{site.name}')")
            site.sql(f"update {table} set who = upper(who)")
        assert rows(mesh, table) == [["BERLIN"], ["HAMBURG"], ["LEIPZIG"]]
    async with connect(berlin.target()) as connection:
        facts = await observe(connection)
    assert not [table for table in facts.unreplicated_tables if "session" in table.name or "scratch" in table.name]
    assert facts.local_tables == ("public.django_session", "scratch.*")


async def test_a_pattern_means_only_the_star(mesh: Mesh, berlin: Site):
    await declare(mesh, "public.job_*")
    berlin.sql("create table job_queue (who text primary key)")
    berlin.sql("create table jobxqueue (who text primary key)")
    mesh.drain()
    for table in ("job_queue", "jobxqueue"):
        berlin.sql(f"insert into {table} values ('berlin')")
    assert rows(mesh, "job_queue") == [["berlin"], [], []]
    assert rows(mesh, "jobxqueue") == [["berlin"]] * 3


async def test_telling_the_same_again_changes_nothing(mesh: Mesh):
    assert await declare(mesh, "a.b", "c.d", "a.b") == [True] * 3
    assert await declare(mesh, "c.d", "a.b") == [False] * 3


async def test_a_replicated_table_becomes_local_and_back(mesh: Mesh, berlin: Site, hamburg: Site):
    berlin.sql("create table carts (who text primary key)")
    mesh.drain()
    hamburg.sql("insert into carts values ('all')")
    mesh.drain()
    await declare(mesh, "public.carts")
    mesh.drain()
    for site in mesh:
        site.sql(f"insert into carts values ('{site.name}')")
    assert rows(mesh, "carts") == [["all", "berlin"], ["all", "hamburg"], ["all", "leipzig"]]

    await declare(mesh)
    assert rows(mesh, "carts") == [["all", "berlin", "hamburg", "leipzig"]] * 3
    hamburg.sql("delete from carts where who <> 'all'")
    assert rows(mesh, "carts") == [["all"]] * 3


@pytest.mark.parametrize("name", REFUSED)
async def test_what_would_be_refused_is_made_without_a_word_where_it_is_declared_local(
    mesh: Mesh, berlin: Site, name: str
) -> None:
    await declare(mesh, f"public.{name}")
    assert warnings_of(berlin, f"create {REFUSED[name].format(name)}") == []
    mesh.drain()
    for site in mesh:
        site.sql(f"insert into {name} values ('{site.name}')")
    assert rows(mesh, name) == [["berlin"], ["hamburg"], ["leipzig"]]
    assert [site.admin(REASON, [f"public.{name}"]) for site in mesh] == [[], [], []]
    persistence = f"select relpersistence::text from pg_class where oid = '{name}'::regclass"
    assert mesh.equal(persistence) == ["u" if "unlogged" in REFUSED[name] else "p"]


@pytest.mark.parametrize("name", REFUSED)
async def test_what_was_refused_is_no_fault_any_more_once_it_is_declared_local(
    mesh: Mesh, berlin: Site, name: str
) -> None:
    late = f"{name}_late"
    warned = warnings_of(berlin, f"create {REFUSED[name].format(late)}")
    assert len(warned) == (name != "local_scans")  # only the rows tell that a column holds large objects
    mesh.drain()
    for site in mesh:
        site.sql(f"insert into {late} values ('{site.name}')")
    assert [len(site.admin(REASON, [f"public.{late}"])) for site in mesh] == [1, 1, 1]
    await declare(mesh, f"public.{late}")
    mesh.drain()
    assert [site.admin(REASON, [f"public.{late}"]) for site in mesh] == [[], [], []]
    for site in mesh:
        site.sql(f"update {late} set who = upper(who) where who = '{site.name}'")
    changed = [[who for who in there if who.isupper()] for there in rows(mesh, late)]
    assert changed == [["BERLIN"], ["HAMBURG"], ["LEIPZIG"]]
