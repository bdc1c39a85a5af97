"""Upgrades of the engine go from site to site while all of them replicate; nothing is lost between two versions.

The later version of these tests has two more steps than today's: notes, and a kind of event that brings them to peers.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from multiserver.postgres.connect import Connection, connect
from multiserver.postgres.errors import StatementFailed, Unavailable
from multiserver.replication import install
from multiserver.replication.install import Step
from multiserver.replication.observe import DatabaseFacts, observe
from tests.postgres.comparing import writing
from tests.postgres.mesh import DATABASE, OWNER, Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_install import die_at_step

TODAY = install.steps()
LATER = (
    *TODAY,
    Step(
        "90_notes.sql",
        """
        create table multiserver.notes (version bigint primary key, note text not null);
        create function multiserver.write_note(note text) returns void language sql begin atomic
          insert into multiserver.journal (version, table_id, layout, kind, content)
            select multiserver.new_version(multiserver.server_number()), 0, 0, 'N', note;
        end;
        """,
    ),
    Step(
        "91_receive_notes.sql",
        """
        create function multiserver.receive_note() returns trigger
        language plpgsql set search_path = pg_catalog, pg_temp as $$
        begin
          perform multiserver.lock_merging();
          insert into multiserver.notes values (new.version, new.content);
          return null;
        end $$;
        grant insert on multiserver.notes to multiserver_apply;
        create trigger note before insert on multiserver.journal
          for each row when (new.kind = 'N') execute function multiserver.receive_note();
        alter table multiserver.journal enable replica trigger note;
        """,
    ),
)
NOTES = "select note from multiserver.notes order by version"


@contextmanager
def version_of(steps: tuple[Step, ...]) -> Iterator[None]:
    """Be the version of the product that has these steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(install, "steps", lambda: steps)
        yield


def upgrade(site: Site) -> bool:
    async def run() -> bool:
        async with connect(site.target()) as connection:
            return await install.ensure_engine(connection)

    return asyncio.run(run())


def upgrade_at_last(site: Site) -> bool:
    """Upgrade as the operator does: again, if writers were in the way."""
    try:
        return upgrade(site)
    except StatementFailed as error:
        assert error.sqlstate == "55P03"
        return False


def facts(site: Site) -> DatabaseFacts:
    async def run() -> DatabaseFacts:
        async with connect(site.target()) as connection:
            return await observe(connection)

    return asyncio.run(run())


def has(site: Site, note: str) -> bool:
    return bool(site.sql("select 1 from visits where note = %s", [note]))


def test_a_mesh_is_upgraded_site_by_site_while_all_its_sites_write(
    start_mesh: Callable[[int], Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = start_mesh(3)
    berlin, hamburg, leipzig = mesh
    berlin.sql("create table visits (id bigserial primary key, note text)")
    mesh.drain()
    write = "insert into visits (note) values (%s)"
    with version_of(LATER), writing(mesh.sites, lambda site, turn: f"insert into visits (note) values ('{turn}')"):
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "run_script", die_at_step(1))
            with pytest.raises(Unavailable):
                upgrade(berlin)
        assert facts(berlin).engine_version == "80_receive"
        assert berlin.admin("select to_regclass('multiserver.notes')") == [None]

        eventually(partial(upgrade_at_last, berlin), "berlin is upgraded")
        assert upgrade(berlin) is False
        assert facts(berlin).engine_version == "91_receive_notes"
        for site in mesh:
            site.sql(write, [f"of {site.name}, berlin is upgraded"])
        for site in mesh:
            eventually(lambda: all(has(site, f"of {peer.name}, berlin is upgraded") for peer in mesh), "rows arrive")  # noqa: B023

        berlin.admin("select multiserver.write_note('hello')")
        berlin.sql(write, ["behind the note"])
        for site in (hamburg, leipzig):
            eventually(lambda: waits_for_an_upgrade(site), f"{site.name} waits")  # noqa: B023
            site.sql(write, [f"of {site.name}, waiting"])
        for site, peer in ((berlin, hamburg), (berlin, leipzig), (hamburg, leipzig), (leipzig, hamburg)):
            eventually(partial(has, site, f"of {peer.name}, waiting"), f"{site.name} goes on with {peer.name}")
        assert not has(hamburg, "behind the note")

        eventually(partial(upgrade_at_last, hamburg), "hamburg is upgraded")
        eventually(partial(has, hamburg, "behind the note"), "hamburg goes on with berlin")
        assert hamburg.admin(NOTES) == ["hello"]
        assert not has(leipzig, "behind the note")
        eventually(partial(upgrade_at_last, leipzig), "leipzig is upgraded")
    mesh.equal("select count(*), count(distinct id), count(distinct note) from visits")
    assert [site.admin(NOTES) for site in mesh] == [[], ["hello"], ["hello"]]
    mesh.assert_registers_equal()

    with pytest.raises(
        install.NewerEngine, match=r"has 90_notes\.sql, 91_receive_notes\.sql, which this version does not"
    ):
        upgrade(berlin)
    berlin.sql(write, ["after the refusal"])
    assert mesh.equal("select count(*) from visits where note = 'after the refusal'") == [1]


def waits_for_an_upgrade(site: Site) -> bool:
    told = "site berlin sent an event of kind N, which this site's engine does not know: waiting"
    return told in (site.server.folder / "log").read_text(errors="replace")


def test_an_upgrade_does_not_hold_up_writers_behind_a_long_transaction(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table long_work (id integer primary key)")
    with berlin.server.connect(DATABASE, OWNER) as session, version_of(LATER):
        session.execute("begin; insert into long_work values (1)")
        with pytest.raises(StatementFailed, match="lock timeout"):
            upgrade(berlin)
        session.execute("rollback")
    assert facts(berlin).engine_version == "80_receive"
    berlin.sql("insert into long_work values (2)")
    assert mesh.equal("select id from long_work") == [2]


def test_the_plan_learns_of_any_difference_in_the_steps(mesh: Mesh, berlin: Site) -> None:
    assert facts(berlin).engine_digest == install.engine_digest()
    with version_of(LATER):
        assert facts(berlin).engine_digest != install.engine_digest()
    with version_of((*TODAY[:-1], Step(TODAY[-1].name, "-- another text"))):
        assert facts(berlin).engine_digest != install.engine_digest()


def test_a_step_that_would_come_before_those_that_were_run_is_refused(mesh: Mesh, berlin: Site) -> None:
    told = r"79_between\.sql comes before 80_receive\.sql"
    between = (*TODAY[:-1], Step("79_between.sql", "select 1"), TODAY[-1])
    with version_of(between), pytest.raises(install.ChangedStep, match=told):
        upgrade(berlin)


def test_a_step_that_fails_leaves_nothing_of_its_upgrade(mesh: Mesh, berlin: Site) -> None:
    with version_of((*LATER, Step("92_broken.sql", "select 1 / 0"))), pytest.raises(StatementFailed, match="zero"):
        upgrade(berlin)
    assert berlin.admin("select to_regclass('multiserver.notes')") == [None]
    with pytest.raises(psycopg.errors.UndefinedFunction):
        berlin.admin("select multiserver.write_note('x')")
