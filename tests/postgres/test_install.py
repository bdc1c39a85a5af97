"""Installation, links and observation: every action may be repeated, killed, and comes to the same end."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from multiserver.postgres.connect import Connection, connect
from multiserver.postgres.errors import NoSuchDatabase, StatementFailed, Unavailable
from multiserver.replication import install, links, slots, subscriptions
from multiserver.replication.observe import observe
from tests.postgres.mesh import OWNER, Mesh, Site, build, peer_conninfo
from tests.postgres.servers import Server, eventually


async def repeat_everything(mesh: Mesh) -> list[bool]:
    """Do every action once more; return what each says it changed."""
    site, peers = mesh.sites[0], mesh.peers(mesh.sites[0])
    changed: list[bool] = []
    async with connect(site.target("postgres")) as connection:
        changed.append(await install.ensure_roles(connection, OWNER))
        changed.append(await install.ensure_database(connection, "app", OWNER))
    async with connect(site.target()) as connection:
        changed.append(await install.ensure_engine(connection))
        changed.append(await links.ensure_site(connection, 1, 1, {s.number: s.name for s in mesh.sites}))
        changed.append(await links.ensure_publication(connection))
        for peer in peers:
            changed.append(await slots.ensure_slot(connection, peer.number))
            [incarnation] = peer.admin("select multiserver.incarnation()::text")
            step = subscriptions.ensure_subscription(connection, peer.number, peer_conninfo(peer), incarnation)
            changed.append(await step)
        changed.append(await links.ensure_open(connection, [peer.number for peer in peers]))
    return changed


async def test_repeating_every_action_changes_nothing(mesh: Mesh) -> None:
    assert not any(await repeat_everything(mesh))


def die_at_step(fatal_step: int) -> Callable[[Connection, str], Awaitable[None]]:
    """Return a way to run scripts that ends the connection after so many."""
    run_script, remaining = Connection.run_script, iter(range(fatal_step - 1, -1, -1))

    async def run_and_die(connection: Connection, script: str) -> None:
        await run_script(connection, script)
        if next(remaining) == 0:
            await run_script(connection, "reset role; select pg_terminate_backend(pg_backend_pid())")

    return run_and_die


async def test_installation_killed_after_any_step_completes_when_run_again(
    start_servers: Callable[[int], list[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(1, start_servers(1)[0])
    async with connect(site.target("postgres")) as connection:
        await install.ensure_roles(connection, OWNER)
        await install.ensure_database(connection, "app", OWNER)
    for fatal_step in range(1, len(install.steps()), 4):
        monkeypatch.setattr(Connection, "run_script", die_at_step(fatal_step))
        with pytest.raises(Unavailable):
            async with connect(site.target()) as connection:
                await install.ensure_engine(connection)
        monkeypatch.undo()
    async with connect(site.target()) as connection:
        assert (await observe(connection)).engine_version is None
        assert await install.ensure_engine(connection)
        assert (await observe(connection)).engine_version == install.engine_version()
    mesh = await build([site])
    site.sql("create table alone (id integer primary key)")
    site.sql("insert into alone values (1)")
    assert mesh.equal("select * from alone") == [1]


def test_a_step_that_was_changed_after_it_was_run_is_refused() -> None:
    first = install.steps()[0]
    with pytest.raises(install.ChangedStep, match=first.name):
        install.missing_steps(install.steps(), {first.name: "another digest"})


async def test_a_server_number_is_given_once(mesh: Mesh) -> None:
    async with connect(mesh.sites[0].target()) as connection:
        with pytest.raises(StatementFailed, match="this database is site 1 and cannot become site 9") as refused:
            await links.ensure_site(connection, 9, 1, {9: "elsewhere"})
    assert refused.value.sqlstate == "MS021"


async def test_a_site_does_not_open_before_it_keeps_changes_for_every_peer(mesh: Mesh) -> None:
    async with connect(mesh.sites[0].target()) as connection:
        with pytest.raises(links.NotReady, match="site numbers 4"):
            await links.ensure_open(connection, [2, 3, 4])


async def test_what_was_there_before_a_site_opened_reaches_its_peers(
    start_servers: Callable[[int], list[Server]],
) -> None:
    sites = [Site(number, server) for number, server in enumerate(start_servers(2), start=1)]
    first = sites[0]
    async with connect(first.target("postgres")) as connection:
        await install.ensure_roles(connection, OWNER)
        await install.ensure_database(connection, "app", OWNER)
    first.admin(
        "set role app; create table older (id serial primary key, note text);"
        " insert into older (note) values ('from before'); reset role"
    )
    mesh = await build(sites)
    assert await asyncio.to_thread(mesh.equal, "select note from older") == ["from before"]


async def test_a_subscription_to_a_peer_that_does_not_publish_yet_waits(
    start_servers: Callable[[int], list[Server]],
) -> None:
    mesh_site, bare = (Site(number, server) for number, server in enumerate(start_servers(2), start=1))
    await build([mesh_site])
    async with connect(bare.target("postgres")) as connection:
        await install.ensure_roles(connection, OWNER)
        await install.ensure_database(connection, "app", OWNER)
    async with connect(mesh_site.target()) as connection:
        with pytest.raises(links.NotReady, match="does not publish its journal yet"):
            await subscriptions.ensure_subscription(connection, 2, peer_conninfo(bare), str(uuid4()))
        assert (await observe(connection)).subscriptions == ()


async def test_failures_to_connect_say_what_they_are(mesh: Mesh) -> None:
    with pytest.raises(NoSuchDatabase):
        async with connect(mesh.sites[0].target("nowhere")):
            raise AssertionError("unreachable")
    target = mesh.sites[0].target()
    with pytest.raises(Unavailable, match="database app at /nowhere:5432"):
        async with connect(type(target)("/nowhere", "app")):
            raise AssertionError("unreachable")


async def test_what_the_application_sets_for_its_database_does_not_concern_us(mesh: Mesh) -> None:
    berlin = mesh.sites[0]
    settings = {
        "default_transaction_isolation": "serializable",
        "default_transaction_read_only": "on",
        "datestyle": "German",
    }
    for name, value in settings.items():
        berlin.admin(f"alter database app set {name} = '{value}'")
    try:
        async with connect(berlin.target()) as connection:
            assert await connection.value("show transaction_isolation") == "read committed"
            await connection.execute("select multiserver.beat()")
            assert (await observe(connection)).observed_at
    finally:
        for name in settings:
            berlin.admin(f"alter database app reset {name}")


async def test_facts_of_a_running_site(mesh: Mesh) -> None:
    berlin = mesh.sites[0]
    await asyncio.to_thread(mesh.drain)
    async with connect(berlin.target()) as connection:
        facts = await observe(connection)
    assert facts.engine_version == install.engine_version()
    assert (facts.server_number, facts.schema_site, facts.sites) == (1, 1, {1: "berlin", 2: "hamburg", 3: "leipzig"})
    assert facts.owner_may_login
    assert facts.opened_at is not None
    assert [(slot.peer_number, slot.active, slot.wal_status) for slot in facts.slots] == [
        (2, True, "reserved"),
        (3, True, "reserved"),
    ]
    assert all(slot.lag_bytes is not None and slot.lag_bytes >= 0 for slot in facts.slots)
    assert [(s.name, s.enabled, s.worker_active) for s in facts.subscriptions] == [
        ("multiserver_2", True, True),
        ("multiserver_3", True, True),
    ]
    systems = {
        site.number: str(site.admin("select system_identifier from pg_control_system()")[0])
        for site in mesh.peers(berlin)
    }
    assert {beat.server_number: beat.system_identifier for beat in facts.heartbeats} == systems
    assert facts.pending_restarts == ()


def test_reports_travel_to_all_sites(mesh: Mesh) -> None:
    for site in mesh:
        site.admin("select multiserver.publish_report(%s)", [f'{{"site": "{site.name}"}}'])
    mesh.drain()
    query = "select report ->> 'site' from multiserver.reports order by server_number"
    assert [site.admin(query) for site in mesh] == [["berlin", "hamburg", "leipzig"]] * 3


def test_the_journal_is_purged_and_nothing_is_lost(mesh: Mesh) -> None:
    berlin, leipzig = mesh.sites[0], mesh.sites[2]
    berlin.sql("create table entries (id integer primary key)")
    mesh.drain()
    leipzig.cut(berlin)
    berlin.sql("insert into entries select generate_series(1, 1000)")
    eventually(lambda: berlin.admin("select multiserver.purge_journal()") == [True], "nobody writes")
    assert berlin.admin("select count(*) from multiserver.journal") == [0]
    leipzig.heal(berlin)
    assert mesh.equal("select count(*) from entries") == [1000]


def test_purging_never_waits_for_writers(mesh: Mesh) -> None:
    berlin = mesh.sites[0]
    berlin.sql("create table busy_writers (id integer primary key)")
    writer = berlin.server.connect("app", "app")
    with writer.transaction():
        writer.execute("insert into busy_writers values (1)")
        assert berlin.admin("select multiserver.purge_journal()") == [False]
    writer.close()
