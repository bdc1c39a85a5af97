"""What the engine does for the application, its workers, the agent and the operator, as cases to be killed.

Each case prepares something, then yields a deed, then goes on.
"""

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from multiserver.agent import verifying
from multiserver.numbers.declared import ensure_declared
from multiserver.postgres.connect import connect
from multiserver.replication import completeness, leave, links
from multiserver.replication.keeping import keep_small
from multiserver.replication.local_tables import ensure_local_tables
from multiserver.replication.pull import pull as pull_from
from tests.postgres import killer
from tests.postgres.comparing import both, mend
from tests.postgres.killer import Deed, by, by_agent, by_worker
from tests.postgres.mesh import DATABASE, OWNER, Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_quarantine import only_here

Play = Generator[Deed, None, Any]
"""Prepares, yields the deed, goes on; returns what else is to be compared."""

CASES: dict[str, Callable[["Scene"], Play]] = {}
CRASHED: set[str] = set()
"""Cases in which the server crashes, too."""
COVERED: set[str] = set()
"""Functions and statements of the engine that Python calls and that a case below kills."""


def case(*covers: str, crashes: bool = False) -> Callable[[Callable[["Scene"], Play]], Callable[["Scene"], Play]]:
    """Note a case and what it covers."""

    def note(play: Callable[["Scene"], Play]) -> Callable[["Scene"], Play]:
        CASES[play.__name__] = play
        COVERED.update(covers)
        if crashes:
            CRASHED.add(play.__name__)
        return play

    return note


SEEN = {
    "register": "select table_name, key, deleted from multiserver.versions() where table_name like 'public.' || %s",
    "conflict log": """
        select "table", key, losing_site, losing_row, winning_site, winning_row, detected
        from multiserver.conflict_log where "table" like 'public.' || %s""",
    "parked rows": """
        select t.name, p.key, p.sqlstate, p.image from multiserver.parked p join multiserver.tables t using (table_id)
        where t.name like 'public.' || %s""",
    "layouts": """
        select t.name, t.relation is not null, t.unsent_rows, array_agg(l.column_names::text order by l.layout)
        from multiserver.tables t join multiserver.layouts l using (table_id)
        where t.name like 'public.' || %s group by t.table_id""",
    "columns": """
        select relname, attname, format_type(atttypid, atttypmod) from pg_attribute join pg_class c on c.oid = attrelid
        where relname like %s and attnum > 0 and not attisdropped""",
    "triggers": """
        select relname, tgname from pg_trigger join pg_class c on c.oid = tgrelid
        where relname like %s and tgname <> 'multiserver_killer' and not tgisinternal""",
    "number ranges": """
        select name, range_from, range_to from multiserver.sequence_usage where name like 'public.' || %s""",
}
"""What is looked at, of all tables whose names are like this."""


class Scene:
    """Two sites and a table `t`, and others whose names begin so."""

    def __init__(self, mesh: Mesh, t: str) -> None:
        self.mesh = mesh
        self.berlin, self.hamburg = mesh.sites
        self.t = t

    def make(self) -> None:
        """Make a table with a key and one without, with rows."""
        self.berlin.sql(f"create table {self.t} (id integer primary key, note text)")
        self.berlin.sql(f"insert into {self.t} select n, 'old' from generate_series(1, 9) n")
        self.berlin.sql(f"create table {self.t}_log (line text)")
        self.berlin.sql(f"insert into {self.t}_log values ('first')")
        self.mesh.drain()

    def watch(self) -> None:
        """Have writes of these tables counted, too."""
        for site in self.mesh:
            killer.watch(site, f"{self.t}%")

    def writes(self, word: str) -> list[str]:
        """Give a transaction's statements with all kinds of changes."""
        t = self.t
        return [
            f"insert into {t} values (10, '{word}')",
            f"update {t} set note = '{word}' where id = 1",
            f"delete from {t} where id = 2",
            f"insert into {t} select n, '{word}' from generate_series(11, 30) n",
            f"update {t} set note = '{word}' where id in (3, 4)",
            f"update {t} set id = 105 where id = 5",
            f"insert into {t}_log values ('{word}'), ('{word}')",
        ]

    def without_capture(self, site: Site, *statements: str) -> None:
        """Run statements that the engine does not see."""
        session = site.server.connect(DATABASE, "postgres")
        session.execute("set session_replication_role = replica")
        for statement in statements:
            session.execute(statement.encode())
        session.close()

    def outcome(self) -> dict[str, list[str]]:
        """Give all that is to be equal, without the name."""
        seen = {f"{what} at {site.name}": self._seen(site, query) for site in self.mesh for what, query in SEEN.items()}
        for site in self.mesh:
            tables = "select oid::regclass::text from pg_class where relkind = 'r' and relname like %s"
            for table in site.admin(tables, [f"{self.t}%"]):
                place = f"{table.replace(self.t, 'T')} at {site.name}"
                seen[place] = self._seen(site, f"select row(x)::text from {table} x where %s <> ''")
        return seen

    def _seen(self, site: Site, query: str) -> list[str]:
        return sorted(str(row).replace(self.t, "T") for row in site.admin(query, [f"{self.t}%"]))


def stop(site: Site, peer: Site) -> None:
    """Receive nothing more, from now on."""
    site.cut(peer)
    query = f"select 1 from pg_stat_subscription where subname = '{links.link_name(peer.number)}' and pid is not null"
    eventually(lambda: not site.admin(query), f"{site.name} receives nothing")


# What the application does.


@case(crashes=True)
def capture(scene: Scene) -> Play:
    scene.make()
    scene.berlin.sql(f"create table {scene.t}_gone as select n as id from generate_series(1, 3) n")
    scene.berlin.sql(f"alter table {scene.t}_gone add primary key (id)")
    scene.watch()
    yield by(scene.berlin, OWNER, *scene.writes("new"), f"truncate {scene.t}_gone")


@case("capture_schema_change")
def capture_of_a_schema_change(scene: Scene) -> Play:
    scene.make()
    yield by(scene.berlin, OWNER, *schema_changes(scene.t))


def schema_changes(t: str) -> list[str]:
    return [
        f"create table {t}_new (id serial primary key, parent integer references {t}, note text default 'x')",
        f"insert into {t}_new (parent) values (1), (2)",
        f"alter table {t} add column more text default 'more'",
        f"alter table {t} rename column note to words",
        f"update {t} set words = 'after' where id = 1",
        f"create index {t}_words on {t} (words)",
        f"create view {t}_view as select id from {t}",
        f"alter table {t}_log add primary key (line)",
        f"create table {t}_short (id integer primary key)",
        f"drop table {t}_short",
    ]


# What an apply worker does.


@case(crashes=True)
def merge(scene: Scene) -> Play:
    scene.make()
    stop(scene.hamburg, scene.berlin)
    scene.watch()
    large = f"insert into {scene.t} select n, repeat('x', 200) from generate_series(1000, 2000) n"
    by(scene.berlin, OWNER, *scene.writes("new"), large).do()
    yield by_worker(scene.hamburg, scene.berlin)


@case(crashes=True)
def merge_of_a_schema_change(scene: Scene) -> Play:
    scene.make()
    stop(scene.hamburg, scene.berlin)
    scene.watch()
    by(scene.berlin, OWNER, *schema_changes(scene.t)).do()
    yield by_worker(scene.hamburg, scene.berlin)


@case()
def conflicts(scene: Scene) -> Play:
    t, berlin, hamburg = scene.t, scene.berlin, scene.hamburg
    scene.make()
    for site, peer in ((berlin, hamburg), (hamburg, berlin)):
        stop(site, peer)
    scene.watch()
    by(hamburg, OWNER, f"update {t} set note = 'lost' where id in (1, 2)", f"delete from {t} where id = 3").do()
    by(berlin, OWNER, f"update {t} set note = 'berlin'", f"insert into {t} values (50, 'lost')").do()
    by(hamburg, OWNER, f"update {t} set note = 'hamburg' where id > 6", f"insert into {t} values (50, 'won')").do()
    yield by_worker(hamburg, berlin)
    berlin.heal(hamburg)


@case()
def unique_values(scene: Scene) -> Play:
    t, berlin, hamburg = scene.t, scene.berlin, scene.hamburg
    berlin.sql(f"create table {t} (id integer primary key, login text unique)")
    scene.mesh.drain()
    for site, peer in ((berlin, hamburg), (hamburg, berlin)):
        stop(site, peer)
    scene.watch()
    hamburg.sql(f"insert into {t} values (1, 'anna')")
    berlin.sql(f"insert into {t} values (2, 'anna'), (3, 'berta')")
    hamburg.sql(f"insert into {t} values (4, 'berta')")
    yield by_worker(hamburg, berlin)
    berlin.heal(hamburg)


@case()
def settling(scene: Scene) -> Play:
    t, berlin, hamburg = scene.t, scene.berlin, scene.hamburg
    berlin.sql(f"create table {t} (id integer primary key, login text unique)")
    with_same = [f"insert into {t} values ({n}, 'anna{n % 2}')" for n in range(4)]
    scene.mesh.drain()
    for site, peer in ((berlin, hamburg), (hamburg, berlin)):
        stop(site, peer)
    berlin.sql(with_same[0])
    berlin.sql(with_same[1])
    hamburg.sql(with_same[2])
    hamburg.sql(with_same[3])
    for site, peer in ((berlin, hamburg), (hamburg, berlin)):
        site.heal(peer)
    scene.mesh.drain()
    assert hamburg.sql(f"select id from {t} order by id") == [2, 3]
    stop(hamburg, berlin)
    scene.watch()
    hamburg.sql(f"delete from {t} where id in (2, 3)")
    yield by_worker(hamburg, berlin)


@case()
def quarantine(scene: Scene) -> Play:
    scene.make()
    only_here(scene.hamburg, f"alter table {scene.t} add constraint only_here check (note <> 'refused')")
    stop(scene.hamburg, scene.berlin)
    scene.watch()
    scene.berlin.sql(f"update {scene.t} set note = 'refused' where id in (1, 2)")
    scene.berlin.sql(f"insert into {scene.t} values (20, 'refused'), (21, 'welcome')")
    yield by_worker(scene.hamburg, scene.berlin)
    assert scene.hamburg.sql(f"select id from {scene.t} where id in (1, 2, 20, 21)") == [21]


@case()
def another_try_of_refused_rows(scene: Scene) -> Play:
    scene.make()
    only_here(scene.hamburg, f"alter table {scene.t} add constraint only_here check (note <> 'refused')")
    scene.berlin.sql(f"update {scene.t} set note = 'refused' where id in (1, 2)")
    scene.mesh.drain()
    stop(scene.hamburg, scene.berlin)
    only_here(scene.hamburg, f"alter table {scene.t} drop constraint only_here")
    scene.hamburg.admin("update multiserver.parked set next_try = now() where sqlstate is not null")
    scene.watch()
    yield by_worker(scene.hamburg, scene.berlin)


@case()
def heartbeats_and_reports(scene: Scene) -> Play:
    stop(scene.hamburg, scene.berlin)
    scene.berlin.admin("select multiserver.publish_report(%s)", [f'{{"of": "{scene.t}"}}'])
    yield by_worker(scene.hamburg, scene.berlin)
    assert scene.hamburg.admin("select report ->> 'of' from multiserver.reports where server_number = 1") == [scene.t]


# What the agent does.


@case("beat")
def sending_of_rows_and_heartbeat(scene: Scene) -> Play:
    scene.make()
    scene.without_capture(
        scene.hamburg, f"insert into {scene.t} values (50, 'unsent')", f"insert into {scene.t}_log values ('unsent')"
    )
    scene.hamburg.admin(f"update multiserver.tables set unsent_rows = true where name like 'public.{scene.t}%'")
    yield by(scene.hamburg, "postgres", "select multiserver.beat()")


@case("publish_report")
def report(scene: Scene) -> Play:
    yield by(scene.berlin, "postgres", f"""select multiserver.publish_report('{{"of": "{scene.t}"}}')""")
    scene.mesh.drain()
    query = "select report ->> 'of' from multiserver.reports where server_number = 1"
    assert [site.admin(query) for site in scene.mesh] == [[scene.t], [scene.t]]


@case("refresh_next_view", crashes=True)
def refreshing_of_a_view(scene: Scene) -> Play:
    scene.make()
    view = f"{scene.t}_view"
    scene.berlin.sql(f"create materialized view {view} as select count(*) as n from {scene.t}")
    scene.berlin.sql(f"insert into {scene.t} values (60, 'seen')")
    scene.berlin.sql(f"refresh materialized view {view}")
    scene.mesh.drain()
    expected = scene.berlin.sql(f"select n from {view}")
    assert scene.hamburg.sql(f"select n from {view}") != expected
    yield by(scene.hamburg, "postgres", "select multiserver.refresh_next_view()")
    assert scene.hamburg.sql(f"select n from {view}") == expected
    assert scene.hamburg.admin("select * from multiserver.refreshes") == []


@case("purge_journal", crashes=True)
def emptying_of_the_journal(scene: Scene) -> Play:
    scene.make()
    stop(scene.hamburg, scene.berlin)
    scene.berlin.sql(f"update {scene.t} set note = 'purged'")
    yield by(scene.berlin, "postgres", "select multiserver.purge_journal()")
    scene.berlin.admin("select multiserver.purge_journal()")
    scene.hamburg.heal(scene.berlin)
    return scene.berlin.admin("select count(*) from multiserver.journal")


@case("purge_conflicts", "collect_registers", crashes=True)
def keeping_small(scene: Scene) -> Play:
    t, mesh, berlin, hamburg = scene.t, scene.mesh, scene.berlin, scene.hamburg
    scene.make()
    for site, peer in (hamburg, berlin), (berlin, hamburg):
        stop(site, peer)
    berlin.sql(f"update {t} set note = 'lost' where id = 1")
    hamburg.sql(f"update {t} set note = 'won' where id = 1")
    for site, peer in (hamburg, berlin), (berlin, hamburg):
        site.heal(peer)
    berlin.sql(f"delete from {t} where id > 5")
    mesh.drain()
    berlin.admin("update multiserver.conflicts set detected_at = now() - interval '1 year'")
    mend(mesh)
    now = berlin.admin("select multiserver.version_at(multiserver.wall_clock(), 0)")
    agreed = "select multiserver.agreed_horizon() > %s"
    eventually(lambda: mesh.drain() or berlin.admin(agreed, now) == [True], "all horizons agreed")
    scene.watch()

    async def keep() -> None:
        async with connect(berlin.target()) as connection:
            for _ in range(2):  # what is agreed is persisted at one turn and used at the next
                await keep_small(connection)

    yield by_agent(berlin, keep)
    left = "select key from multiserver.versions() where table_name like %s"
    assert berlin.admin(left, [f"public.{t}%"]) == []


@case("merge_pulled", "stay_careful", crashes=True)
def pull(scene: Scene) -> Play:
    t, hamburg = scene.t, scene.hamburg
    scene.make()
    scene.berlin.sql(f"delete from {t} where id = 9")
    scene.mesh.drain()
    table_id = hamburg.admin("select table_id from multiserver.tables where name = %s", [f"public.{t}"])[0]
    scene.without_capture(
        hamburg,
        f"delete from multiserver.register_{table_id}",
        f"delete from {t} where id < 4",
        f"update {t} set note = 'stale' where id > 6",
        f"delete from {t}_log",
        "delete from multiserver.appended",
    )
    scene.watch()

    async def do() -> None:
        async with both(hamburg, scene.berlin) as (own, peer):
            await pull_from(own, peer)

    yield by_agent(hamburg, do)


@case("insert into verifications", "update links")
def notes_of_a_verification(scene: Scene) -> Play:
    hamburg = scene.hamburg

    async def do() -> None:
        async with connect(hamburg.target()) as own:
            await own.execute(verifying.STORE_RESULT, [1, "{}"])
            await own.execute(verifying.DOUBT, [1])

    yield by_agent(hamburg, do)
    doubted = hamburg.admin("update multiserver.links set doubted_at = null where doubted_at is not null returning 1")
    return doubted, hamburg.admin("delete from multiserver.verifications returning peer_number")


@case("link_is_complete", "complete_link")
def notes_of_complete_links(scene: Scene) -> Play:
    hamburg = scene.hamburg
    incarnation = scene.berlin.admin("select multiserver.incarnation()")
    hamburg.admin("update multiserver.links set slot_birth = null, peer_incarnation = %s", incarnation)

    async def do() -> None:
        async with both(hamburg, scene.berlin) as (own, peer):
            facts = await completeness.ask_peer(peer, 2)
            assert facts
            assert await completeness.is_complete(own, facts)
            assert await completeness.note_pull(own, facts, await own.value("select clock_timestamp()"))

    yield by_agent(hamburg, do)
    return hamburg.admin("select slot_birth is not null, doubted_at from multiserver.links")


# What the operator does.


@case("declare_local_tables")
def a_table_becomes_local(scene: Scene) -> Play:
    scene.make()
    yield by_agent(scene.berlin, partial(declare_local, scene.berlin, f"public.{scene.t}"))
    scene.mesh.drain()
    scene.hamburg.sql(f"insert into {scene.t} values (99, 'hamburg only')")
    scene.mesh.drain()
    outcome = scene.outcome()
    asyncio.run(declare_local(scene.berlin))
    return sorted(outcome.items())


@case("declare_local_tables", crashes=True)
def a_table_is_local_no_longer(scene: Scene) -> Play:
    scene.make()
    asyncio.run(declare_local(scene.berlin, f"public.{scene.t}", f"public.{scene.t}_log"))
    scene.mesh.drain()
    for site in scene.mesh:
        site.sql(f"insert into {scene.t} values ({site.number * 100}, 'own')")
        site.sql(f"insert into {scene.t}_log values ('{site.name}')")
    yield by_agent(scene.berlin, partial(declare_local, scene.berlin))


async def declare_local(site: Site, *patterns: str) -> bool:
    async with connect(site.target()) as connection:
        return await ensure_local_tables(connection, patterns)


@case("declare_number_ranges")
def number_ranges(scene: Scene) -> Play:
    for n in (1, 2):
        scene.berlin.sql(f"create sequence {scene.t}_{n}")
    scene.mesh.drain()

    async def do() -> None:
        async with connect(scene.hamburg.target()) as connection:
            await ensure_declared(connection, {f"public.{scene.t}_{n}": (n * 1000, n * 1000 + 9) for n in (1, 2)})

    yield by_agent(scene.hamburg, do)
    return [scene.hamburg.sql(f"select nextval('{scene.t}_{n}')") for n in (1, 2)]


@case("close_site", "end_sessions", "open_site")
def closing_and_opening(scene: Scene) -> Play:
    hamburg = scene.hamburg

    async def do() -> None:
        async with connect(hamburg.target()) as connection:
            await leave.ensure_closed(connection)
            await links.ensure_open(connection, [1])

    yield by_agent(hamburg, do)
    hamburg.server.connections.pop((DATABASE, OWNER), None)
    return hamburg.admin("select opened_at is not null, closed_at, closed_lsn from multiserver.site_settings")


@case("open_site", crashes=True)
def opening_of_the_schema_site_after_a_copy(scene: Scene) -> Play:
    berlin = scene.berlin
    berlin.sql(f"create table {scene.t} (id serial primary key)")
    last = berlin.sql(f"insert into {scene.t} default values returning id")
    berlin.admin("update multiserver.site_settings set opened_at = null")
    berlin.admin("insert into multiserver.broken_history (how) values ('copied')")
    parts = berlin.admin("select count(*) from multiserver.known_parts")
    yield by(berlin, "postgres", "select multiserver.open_site()")
    berlin.admin("delete from multiserver.broken_history")
    assert berlin.admin("select count(*) from multiserver.known_parts") == parts
    behind = "select last_value >= 1000 + %s from multiserver.sequence_usage where name = %s"
    assert berlin.admin(behind, [*last, f"public.{scene.t}_id_seq"]) == [True]


@case("open_site")
def first_opening_of_the_schema_site(scene: Scene) -> Play:
    only_here(scene.berlin, "set role app", f"create table {scene.t} as select 1 as id", "reset role")
    only_here(scene.berlin, f"alter table {scene.t} add primary key (id)")
    only_here(scene.hamburg, f"drop table if exists {scene.t}")
    scene.berlin.admin("update multiserver.site_settings set opened_at = null")
    yield by(scene.berlin, "postgres", "select multiserver.open_site()")
