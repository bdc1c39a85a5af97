"""A site that was put back in time finds it out before it is ready, or as soon as a peer can be reached again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from multiserver.agent.agent import Agent
from tests.agent.sites import Mesh, Site, mesh_of, running
from tests.agent.waiting import wait_until
from tests.rootfs import Rootfs
from tests.sites import eventually

PARTS = "select incarnation::text, opened_at is not null from multiserver.site_settings"


@pytest.fixture
def mesh(rootfs: Rootfs, template: Path) -> Iterator[Mesh]:
    with mesh_of(("berlin", "hamburg"), rootfs, template) as made:
        yield made


async def readiness(agent: Agent) -> tuple[int, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{agent.probe_port}/readyz")
        return answer.status_code, answer.text


async def is_ready(agent: Agent) -> bool:
    return (await readiness(agent))[0] == 200


def rewind(site: Site, peer: Site) -> str:
    """Put a site back to a state before one that its peer knows; give its incarnation of then."""
    site.sql("select multiserver.beat()")
    pgdata = site.tree.paths.pgdata
    saved = pgdata.with_name("saved")
    site.stop()
    shutil.copytree(pgdata, saved)
    site.start()
    site.sql("set role app; create table later (id integer primary key)")
    later = site.sql("select clock_timestamp()")[0]
    site.sql("select multiserver.beat()")
    beat = "select 1 from multiserver.heartbeats where sent_at >= %s"
    eventually(lambda: bool(peer.sql(beat, later)), "the peer knows what came later")
    site.stop()
    shutil.rmtree(pgdata)
    saved.rename(pgdata)
    site.tree.hand_over()
    site.start()
    incarnation, is_open = site.sql(PARTS)[0]
    assert is_open
    return str(incarnation)


async def test_a_rewound_site_is_closed_before_it_is_ready(mesh: Mesh) -> None:
    berlin, hamburg = mesh.sites
    before = rewind(berlin, hamburg)
    async with running(berlin) as (agent,):
        await wait_until(lambda: is_ready(agent), "berlin is ready")
        incarnation, is_open = berlin.sql(PARTS)[0]
        assert incarnation != before
        assert not is_open
        assert berlin.sql("select rolcanlogin from pg_roles where rolname = 'app'") == [(False,)]
        assert berlin.sql("select how from multiserver.broken_history") == [("rewound",)]
        assert berlin.tree.paths.rewound.exists()


async def test_a_site_that_nobody_answers_is_ready_and_found_rewound_when_the_line_is_back(mesh: Mesh) -> None:
    berlin, hamburg = mesh.sites
    before = rewind(berlin, hamburg)
    berlin.lines["hamburg"].cut()
    async with running(berlin) as (agent,):
        await wait_until(lambda: is_ready(agent), "berlin is ready")
        assert berlin.sql(PARTS) == [(before, True)]
        berlin.lines["hamburg"].heal()
        await wait_until(lambda: berlin.sql(PARTS)[0] != (before, True), "berlin has found it out")
        assert not berlin.sql(PARTS)[0][1]
        assert await is_ready(agent)


async def test_a_site_that_was_only_restarted_is_ready_and_stays_what_it_is(mesh: Mesh) -> None:
    berlin, _ = mesh.sites
    async with running(berlin) as (agent,):
        await wait_until(lambda: is_ready(agent), "berlin is ready")
    before = berlin.sql(PARTS)
    berlin.stop()
    berlin.start()
    async with running(berlin) as (agent,):
        assert (await readiness(agent))[0] == 503
        await wait_until(lambda: is_ready(agent), "berlin is ready")
        await wait_until(lambda: agent.loops["rewinding"].last_success is not None, "berlin has asked")
    assert berlin.sql(PARTS) == before
    assert not berlin.tree.paths.rewound.exists()


def rename_database(site: Site) -> bool:
    """Rename the application's database, unless a session that is on its way out still uses it."""
    with psycopg.connect(site.target("postgres").conninfo(), autocommit=True) as connection:
        try:
            connection.execute("alter database app rename to elsewhere")
        except psycopg.errors.ObjectInUse:
            return False
    return True


async def test_a_site_without_database_is_ready_so_that_the_operator_can_make_one(mesh: Mesh) -> None:
    for site in mesh.sites:
        for (name,) in site.sql("select subname from pg_subscription"):
            site.sql(f"alter subscription {name} disable")
    berlin, _ = mesh.sites
    eventually(lambda: rename_database(berlin), "the database is renamed")
    async with running(berlin) as (agent,):
        await wait_until(lambda: is_ready(agent), "berlin is ready")
