"""Tables that the resource declares local: they exist at every site, and each site has rows of its own in them."""

from collections.abc import Iterator

import pytest

from multiserver.postgres.connect import connect
from multiserver.replication.local_tables import ensure_local_tables
from multiserver.replication.observe import observe
from tests.postgres.mesh import Mesh, Site


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
