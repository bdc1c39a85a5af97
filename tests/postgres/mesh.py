"""Several sites that replicate to each other, built with the product's own actions."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from multiserver.postgres.connect import Target, connect
from multiserver.replication import install, links, slots, subscriptions
from tests.postgres.servers import Server, eventually, make_template
from tests.rootfs import Rootfs

DATABASE = "app"
OWNER = "app"
TOWNS = ("berlin", "hamburg", "leipzig", "dresden", "bremen", "potsdam", "rostock", "kiel")
NAMES = dict(enumerate(TOWNS, start=1))


@dataclass
class Site:
    """One site of a mesh; `sql` speaks as the application."""

    number: int
    server: Server

    @property
    def name(self) -> str:
        return NAMES[self.number]

    def target(self, database: str = DATABASE) -> Target:
        return Target(str(self.server.folder), database, port=self.server.port)

    def sql(self, statement: str, parameters: Any = None) -> list[Any]:
        return self.server.sql(statement, parameters, database=DATABASE, user=OWNER)

    def admin(self, statement: str, parameters: Any = None) -> list[Any]:
        return self.server.sql(statement, parameters, database=DATABASE)

    def fill_from(self, donor: "Site") -> None:
        """Have a copy of the donor's data in place of its own, and start."""
        self.server.fill_from(donor.server, DATABASE)
        self.server.start()

    def cut(self, peer: "Site") -> None:
        """Receive nothing more from the peer."""
        self.admin(f"alter subscription {links.link_name(peer.number)} disable")

    def heal(self, peer: "Site") -> None:
        self.admin(f"alter subscription {links.link_name(peer.number)} enable")

    def beat(self) -> Any:
        """Send a heartbeat; return a time before it was sent."""
        now = self.admin("select clock_timestamp()")[0]
        self.admin("select multiserver.beat()")
        return now

    def has_beat(self, peer: "Site", since: Any) -> bool:
        query = "select 1 from multiserver.heartbeats where server_number = %s and sent_at >= %s"
        return bool(self.admin(query, [peer.number, since]))

    def drop_slot(self, peer: "Site") -> None:
        """Lose the slot for a peer, as a person or a disk that is full would."""
        [name] = self.admin("select slot_name from multiserver.peer_slots where peer_number = %s", [peer.number])
        end = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = %s"
        self.admin(end, [name])
        self.admin("select pg_drop_replication_slot(%s)", [name])

    def link_error_count(self) -> int:
        return int(self.admin("select coalesce(sum(apply_error_count), 0) from pg_stat_subscription_stats")[0])


@dataclass
class Mesh:
    """All sites; the first one is the schema site."""

    sites: list[Site]

    def __iter__(self) -> Any:
        return iter(self.sites)

    def peers(self, site: Site) -> list[Site]:
        return [other for other in self.sites if other is not site]

    def cut_all(self) -> None:
        for site in self.sites:
            for peer in self.peers(site):
                site.cut(peer)

    def heal_all(self) -> None:
        for site in self.sites:
            for peer in self.peers(site):
                site.heal(peer)

    def drain(self, seconds: float = 60.0) -> None:
        """Wait until everything written before has been merged everywhere, and parked rows are settled."""
        for _ in range(2):  # the second heartbeats settle what the first ones' rows have freed
            sent = {site.number: site.beat() for site in self.sites}
            for site in self.sites:
                for peer in self.peers(site):
                    what = f"{site.name} has all of {peer.name}"
                    eventually(partial(site.has_beat, peer, sent[peer.number]), what, seconds, site.server.last_words)

    def drain_by_rows(self, query: str) -> None:
        """Wait until the query gives the same everywhere, for tests in which clocks are wrong."""
        eventually(lambda: all(site.sql(query) == self.sites[0].sql(query) for site in self.sites), f"equal: {query}")

    def equal(self, query: str) -> list[Any]:
        """Drain, then return what the query gives at every site; an assertion fails if it differs."""
        self.drain()
        answers = {site.name: site.sql(query) for site in self.sites}
        first = answers[self.sites[0].name]
        assert all(answer == first for answer in answers.values()), answers
        return first

    def assert_registers_equal(self) -> None:
        """Compare all registers; what some site may have collected already is left out."""
        collected = max(site.admin("select coalesce(multiserver.collected_horizon(), 0)")[0] for site in self.sites)
        query = "select * from multiserver.versions() where version > %s order by 1, 2"
        answers = {site.name: set(site.admin(query, [collected])) for site in self.sites}
        in_common = set.intersection(*answers.values())
        different = {name: rows - in_common for name, rows in answers.items() if rows - in_common}
        assert not different, different


def make_engine_template(rootfs: Rootfs, folder: Path) -> Path:
    """Make a template whose servers have the engine already, as the install of each would take most of a second."""
    folder.mkdir(mode=0o755)
    server = Server.create(rootfs, make_template(rootfs, folder / "bare"), folder / "engine")
    server.start()
    asyncio.run(install_engine(Site(1, server)))
    server.stop()
    return server.folder / "pgdata"


async def install_engine(site: Site) -> None:
    """Make what a site lacks of roles, database and engine."""
    async with connect(site.target("postgres")) as connection:
        await install.ensure_roles(connection, OWNER)
        await install.ensure_database(connection, DATABASE, OWNER)
    async with connect(site.target()) as connection:
        await install.ensure_engine(connection)


async def build(sites: list[Site]) -> Mesh:
    """Install the engine, make every site's slots, open them, then subscribe."""
    for site in sites:
        await install_engine(site)
        async with connect(site.target()) as connection:
            await links.ensure_site(connection, site.number, 1, {other.number: other.name for other in sites})
            wanted = links.desired_links(site.number, [other.number for other in sites])
            for number in wanted.slots_for:
                await slots.ensure_slot(connection, number)
            await links.ensure_open(connection, wanted.slots_for)
    incarnations = {site.number: str(site.admin("select multiserver.incarnation()")[0]) for site in sites}
    for site in sites:
        async with connect(site.target()) as connection:
            for peer in sites:
                if peer is not site:
                    await subscriptions.ensure_subscription(
                        connection, peer.number, peer_conninfo(peer), incarnations[peer.number]
                    )
    return Mesh(sites)


def as_peer(site: Site) -> Target:
    """Return how a peer reaches a site's database in tests: loopback, no certificate."""
    return Target("127.0.0.1", DATABASE, "multiserver_peer", site.server.port)


def peer_conninfo(peer: Site) -> str:
    """Return the same for a subscription."""
    return as_peer(peer).conninfo(connect_timeout=5)


def build_now(servers: list[Server]) -> Mesh:
    """Build a mesh of servers from a test that is not asynchronous."""
    return asyncio.run(build([Site(number, server) for number, server in enumerate(servers, start=1)]))
