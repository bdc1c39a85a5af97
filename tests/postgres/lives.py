"""Sites that join, leave, break and come back: what the operator's plan and the agents do, as rounds to be killed.

`settle` repeats a round until nothing changes any more. A round derives every step from facts, like the product.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiserver.postgres.connect import Connection, Parameters, Statement, Target, connect
from multiserver.replication import compare, completeness, leave, links, observe, pull, rewind, slots, subscriptions
from tests.ports import free_port
from tests.postgres.mesh import DATABASE, OWNER, Mesh, Site, peer_conninfo
from tests.postgres.servers import Server

ROUNDS_MAX = 100


class Killed(Exception):
    """The process that did the steps is gone."""


WRITES = re.compile(
    "create|alter|drop|insert|delete|pg_create_|pg_drop_|pg_terminate_|multiserver[.]"
    "(configure_site|note_|complete_|forget_|open_|close_|end_sessions|is_rewound|renounce|merge_)"
)
"""A statement that may change something: between two that only look, a kill leaves the same as before the first."""


@dataclass
class Executioner:
    """Kills before the writing statement with this number; never if there is none."""

    left: int | None = None

    def see(self, statement: Statement) -> None:
        text = statement if isinstance(statement, str) else statement.as_string(None)
        if self.left is not None and WRITES.search(text):
            if self.left == 0:
                raise Killed(text)
            self.left -= 1


class MortalConnection(Connection):
    """A connection whose user may be killed before any statement."""

    executioner: Executioner

    async def _run(self, statement: Statement, parameters: Parameters | None) -> Any:
        self.executioner.see(statement)
        return await super()._run(statement, parameters)


@asynccontextmanager
async def mortal(target: Target, executioner: Executioner) -> AsyncIterator[Connection]:
    """Open a connection whose user the executioner may kill."""
    async with connect(target) as connection:
        made = MortalConnection(connection._raw, connection.where, 30)  # The same one, counted.
        made.executioner = executioner
        yield made


async def attempt(step: Awaitable[bool]) -> bool:
    """Do a step; one that must wait counts as a change to come."""
    try:
        return await step
    except (links.NotReady, compare.NotComparable):
        return True


@dataclass
class Lives:
    """A mesh whose members change; the round looks at those that run."""

    mesh: Mesh

    @property
    def running(self) -> list[Site]:
        return [site for site in self.mesh if site.server.process is not None]

    def settle(self) -> None:
        """Do rounds until one changes nothing."""
        for _ in range(ROUNDS_MAX):
            if not self.round():
                return
        raise AssertionError(f"not at rest after {ROUNDS_MAX} rounds")

    def settle_though_killed(self) -> int:
        """Do rounds that are killed before their first writing statement, second, and so on; give how many were."""
        kills = 0
        while True:
            try:
                self.round(Executioner(kills))
            except Killed:
                kills += 1
            else:
                self.settle()
                return kills

    def round(self, executioner: Executioner | None = None) -> bool:
        """Do once all that the operator and the agents would do; tell whether something changed or waits."""
        return asyncio.run(self._round(executioner or Executioner()))

    async def _round(self, executioner: Executioner) -> bool:
        changed = False
        for site in self.running:
            async with mortal(site.target(), executioner) as connection:
                changed |= await self._keep_for_peers(connection, site)
        for site in self.running:
            async with mortal(site.target(), executioner) as connection:
                for peer in self.running:
                    if peer is not site:
                        incarnation = (await facts_of(peer)).incarnation
                        step = subscriptions.ensure_subscription(
                            connection, peer.number, peer_conninfo(peer), incarnation
                        )
                        changed |= await attempt(step)
                        changed |= await attempt(self._pull(connection, site, peer, executioner))
                peers = [peer.number for peer in self.mesh.peers(site)]
                reached = [peer.number for peer in self.running if peer is not site]
                changed |= await attempt(links.ensure_open(connection, peers, reached))
        return changed

    async def _keep_for_peers(self, connection: Connection, site: Site) -> bool:
        """Tell a site who there is, have it forget who left, and make its slots."""
        names = {member.number: member.name for member in self.mesh}
        changed = await links.ensure_site(connection, site.number, min(names), names)
        facts = await observe.observe(connection)
        names_of_links = [*(slot.name for slot in facts.slots), *(made.name for made in facts.subscriptions)]
        linked = {int(name.rpartition("_")[2]) for name in names_of_links}
        for number in (linked | {link.peer_number for link in facts.links}) - names.keys():
            changed |= await attempt(leave.ensure_forgotten(connection, number))
        for number in names.keys() - {site.number}:
            changed |= await attempt(slots.ensure_slot(connection, number))
        return changed

    async def _pull(self, own: Connection, site: Site, peer: Site, executioner: Executioner) -> bool:
        """Do what a site's agent does for one link; tell whether it was incomplete."""
        async with mortal(as_peer(peer), executioner) as there:
            told = await completeness.ask_peer(there, site.number)
            if told is None or await completeness.is_complete(own, told):
                return False
            began = await own.value("select clock_timestamp()")
            await pull.pull(own, there)
            await completeness.note_pull(own, told, began)
            return True

    async def pull(self, site: Site, peer: Site) -> bool:
        """Pull once from a peer if that is due."""
        async with connect(site.target()) as own:
            return await self._pull(own, site, peer, Executioner())

    def check_for_rewinding(self, site: Site, executioner: Executioner | None = None) -> bool:
        """Do what a site's agent does before the site is ready; tell whether the site was put back in time."""
        found = asyncio.run(self._check_for_rewinding(site, executioner or Executioner()))
        site.server.connections.pop((DATABASE, OWNER), None)  # A site that renounces ends the application's sessions.
        return found

    async def _check_for_rewinding(self, site: Site, executioner: Executioner) -> bool:
        found = False
        async with mortal(site.target(), executioner) as own:
            for peer in self.running:
                if peer is not site:
                    async with mortal(as_peer(peer), executioner) as there:
                        incarnation = await rewind.rewound_incarnation(own, there, site.number)
                    if incarnation is not None:
                        found |= await rewind.renounce(own, incarnation)
        return found

    def join(self, number: int, donor: Site, folder: Path) -> Site:
        """Add a site: its peers keep their changes for it, then it is copied from the donor and started."""
        site = Site(number, Server(donor.server.rootfs, folder, free_port()))
        self.mesh.sites.append(site)
        self.round()
        self.fill(site, donor)
        return site

    def fill(self, site: Site, donor: Site) -> None:
        """Give a site without data a copy of the donor's, and start it."""
        shutil.rmtree(site.server.folder, ignore_errors=True)
        site.server = Server.copy_of(donor.server, site.server.folder, DATABASE)
        site.server.start()


async def facts_of(site: Site) -> observe.DatabaseFacts:
    """Look at a site's database."""
    async with connect(site.target()) as connection:
        return await observe.observe(connection)


def as_peer(site: Site) -> Target:
    """Return how a peer's agent reaches a site's database."""
    return Target("127.0.0.1", DATABASE, "multiserver_peer", site.server.port)
