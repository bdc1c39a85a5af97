"""The systems under test, each a full mesh of sites that replicate the same tables."""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import count, permutations

from benchmarks.catalogue import NATIVE, OURS, PGLOGICAL
from benchmarks.lab import Lab, make_database
from tests.postgres.mesh import DATABASE, Mesh, Site, build
from tests.postgres.servers import eventually

MARKS = "create table marks (id bigint primary key)"
PATIENCE_SECONDS = 300.0


class System(ABC):
    """Sites that replicate to each other somehow. What is measured goes through this interface alone."""

    name: str
    extra_settings: dict[str, str] = {}  # noqa: RUF012 - constant of a class

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = tuple(sites)
        self._marks = count(1)

    @abstractmethod
    def connect(self, tables: Sequence[str]) -> None:
        """Make the tables at all sites, and replicate them from each to each."""

    @abstractmethod
    def pause(self, receiver: Site, sender: Site) -> None:
        """Let the receiver take nothing more from the sender."""

    @abstractmethod
    def resume(self, receiver: Site, sender: Site) -> None:
        """Let it take again."""

    def at_work(self) -> AbstractContextManager[None]:
        """Do meanwhile what has to be done beside the server for the system to go on; most need nothing."""
        return nullcontext()

    @property
    def origin(self) -> Site:
        """Where the load is."""
        return self.sites[0]

    @property
    def peers(self) -> tuple[Site, ...]:
        """The other sites."""
        return self.sites[1:]

    def mark(self) -> int:
        """Write a row at the origin that follows all that was written before; return its number."""
        number = next(self._marks)
        self.origin.sql("insert into marks values (%s)", [number])
        return number

    def has_mark(self, site: Site, number: int) -> bool:
        """Whether the row has arrived."""
        return bool(site.sql("select 1 from marks where id = %s", [number]))

    def drain(self) -> float:
        """Wait until all peers have what the origin has written; return the seconds that took."""
        begun, number = time.monotonic(), self.mark()
        for peer in self.peers:
            eventually(
                partial(self.has_mark, peer, number),
                f"{peer.name} ({self.name}) has all",
                PATIENCE_SECONDS,
                peer.server.last_words,
                pause_seconds=0.002,
            )
        return time.monotonic() - begun


class Native(System):
    """PostgreSQL's own logical replication of the tables. It is the yardstick; as multi-master it does not converge."""

    name = NATIVE

    def connect(self, tables: Sequence[str]) -> None:
        """Publish all tables and subscribe each site to each."""
        for site in self.sites:
            make_database(site)
            for table in (*tables, MARKS):
                site.sql(table)
            site.admin("create publication bench for tables in schema public")
        for site, peer in permutations(self.sites, 2):
            site.admin(
                f"create subscription {link(site, peer)} connection '{tcp(peer)}' publication bench"
                " with (copy_data = false, origin = none)"
            )

    def pause(self, receiver: Site, sender: Site) -> None:
        """Disable the subscription."""
        receiver.admin(f"alter subscription {link(receiver, sender)} disable")

    def resume(self, receiver: Site, sender: Site) -> None:
        """Enable the subscription."""
        receiver.admin(f"alter subscription {link(receiver, sender)} enable")


class Pglogical(System):
    """The extension pglogical with its conflict resolution by last update."""

    name = PGLOGICAL
    extra_settings = {  # noqa: RUF012 - constant of a class
        "shared_preload_libraries": "pglogical",
        "output_plugin_libraries": "pgoutput, pglogical_output",
        "pglogical.conflict_resolution": "last_update_wins",
    }

    def connect(self, tables: Sequence[str]) -> None:
        """Make a node of each site and subscribe each to each."""
        for site in self.sites:
            make_database(site)
            site.admin("create extension pglogical")
            site.admin(f"select pglogical.create_node('{site.name}', '{tcp(site)}')")
            for table in (*tables, MARKS):
                site.sql(table)
            site.admin("select pglogical.replication_set_add_all_tables('default', '{public}')")
        for site, peer in permutations(self.sites, 2):
            site.admin(
                f"select pglogical.create_subscription('{link(site, peer)}', '{tcp(peer)}',"
                " '{default}', false, false, '{}')"
            )
        # The slots are made by workers, in their own time; what is written before them would never arrive.
        for site in self.sites:
            eventually(partial(self._replicates, site), f"{site.name} (pglogical) replicates", 60.0)

    def _replicates(self, site: Site) -> bool:
        status = site.admin("select status from pglogical.show_subscription_status()")
        return status == ["replicating"] * (len(self.sites) - 1)

    def pause(self, receiver: Site, sender: Site) -> None:
        """Disable the subscription."""
        receiver.admin(f"select pglogical.alter_subscription_disable('{link(receiver, sender)}', true)")

    def resume(self, receiver: Site, sender: Site) -> None:
        """Enable the subscription."""
        receiver.admin(f"select pglogical.alter_subscription_enable('{link(receiver, sender)}', true)")


class Ours(System):
    """Journal and merge, built by the operator's own actions."""

    name = OURS

    def connect(self, tables: Sequence[str]) -> None:
        """Install the engine everywhere; the tables are made at one site and travel."""
        mesh: Mesh = asyncio.run(build(list(self.sites)))
        for table in (*tables, MARKS):
            self.origin.sql(table)
        mesh.drain()

    def pause(self, receiver: Site, sender: Site) -> None:
        """Disable the subscription."""
        receiver.cut(sender)

    def resume(self, receiver: Site, sender: Site) -> None:
        """Enable the subscription."""
        receiver.heal(sender)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do the agents' duties that concern replication: a heartbeat a second, and purging the journal."""
        ended = threading.Event()
        agents = [threading.Thread(target=_duties, args=(site, ended), daemon=True) for site in self.sites]
        for agent in agents:
            agent.start()
        try:
            yield
        finally:
            ended.set()
            for agent in agents:
                agent.join()


def _duties(site: Site, ended: threading.Event) -> None:
    with site.server.connect(DATABASE, "postgres") as connection:
        for second in count():
            connection.execute("select multiserver.beat()")
            if second % 10 == 0:
                connection.execute("select multiserver.purge_journal()")
            if ended.wait(1.0):
                return


KINDS: tuple[type[System], ...] = (Native, Pglogical, Ours)


def link(receiver: Site, sender: Site) -> str:
    """Name a directed link."""
    return f"{receiver.name}_from_{sender.name}"


def tcp(site: Site) -> str:
    """Say how a site's server is reached by another one's."""
    return f"host=127.0.0.1 port={site.server.port} dbname={DATABASE} user=postgres"


@contextmanager
def running(lab: Lab, kind: type[System], sites: int, tables: Sequence[str]) -> Iterator[System]:
    """Start a system; its servers are removed at the end."""
    with lab.sites(kind.name, sites, kind.extra_settings) as made:
        system = kind(made)
        system.connect(tables)
        with system.at_work():
            system.drain()
        yield system
