"""Sites that join, leave, break and come back: what the operator's plan and the agents do, as rounds to be killed.

`settle` repeats a round until nothing changes any more. A round derives every step from facts, like the product.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiserver.postgres.connect import Connection, Parameters, Statement, Target, connect
from multiserver.replication import links, subscriptions
from tests.postgres.mesh import DATABASE, OWNER, Mesh, Site, as_peer, peer_conninfo
from tests.postgres.rounds import attempt, complete_link, facts_of, keep_for_peers, renounce_if_rewound
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
        changed = await self._keep(executioner)
        for site in self.running:
            async with mortal(site.target(), executioner) as connection:
                for peer in self.running:
                    if peer is not site:
                        changed |= await attempt(subscribe(connection, peer))
                        changed |= await attempt(self._pull(connection, site, peer, executioner))
                peers = [peer.number for peer in self.mesh.peers(site)]
                reached = [peer.number for peer in self.running if peer is not site]
                changed |= await attempt(links.ensure_open(connection, peers, reached))
        return changed

    def keep(self) -> bool:
        """Have every site keep its changes for its peers; tell whether something changed or waits."""
        return asyncio.run(self._keep(Executioner()))

    async def _keep(self, executioner: Executioner) -> bool:
        changed = False
        names = {member.number: member.name for member in self.mesh}
        for site in self.running:
            async with mortal(site.target(), executioner) as connection:
                changed |= await keep_for_peers(connection, site.number, names)
        return changed

    async def _pull(self, own: Connection, site: Site, peer: Site, executioner: Executioner) -> bool:
        """Do what a site's agent does for one link; tell whether it was incomplete."""
        async with mortal(as_peer(peer), executioner) as there:
            return await complete_link(own, there, site.number)

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
                        found |= await renounce_if_rewound(own, there, site.number)
        return found

    def join(self, number: int, donor: Site, folder: Path) -> Site:
        """Add a site: its peers keep their changes for it, then it is copied from the donor and started."""
        site = Site(number, Server.without_data(donor.server.rootfs, folder))
        self.mesh.sites.append(site)
        self.round()
        site.fill_from(donor)
        return site


async def subscribe(connection: Connection, peer: Site) -> bool:
    """Do what the operator does for a link once it has seen both ends."""
    incarnation = (await facts_of(peer)).incarnation
    assert incarnation is not None
    return await subscriptions.ensure_subscription(connection, peer.number, peer_conninfo(peer), incarnation)
