"""A simulated cluster whose databases are real: the plan sees what they say, and its actions are done to them.

Pods, objects and volumes are those of the simulated world. What an agent does is done here by the same functions: it
sends heartbeats and notes what it has fetched; nothing need be fetched in tests that use this.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from multiserver.api.spec import Cluster
from multiserver.control.act import Actor
from multiserver.control.plan import plan
from multiserver.control.snapshot import SiteSeen
from multiserver.postgres.connect import Connection, connect
from multiserver.replication import completeness
from multiserver.replication.links import NotReady
from multiserver.replication.observe import observe
from multiserver.resources.blueprint import Blueprint
from tests.postgres.mesh import DATABASE, OWNER, Site, peer_conninfo
from tests.postgres.servers import Server, eventually
from tests.unit.control.world import Database, World


class PlannedSites(World):
    """The simulated world with a server for each site; the sites have the numbers of their order."""

    def __init__(self, cluster: Cluster, servers: dict[str, Server]) -> None:
        super().__init__(cluster)
        self.real = {name: Site(number, server) for number, (name, server) in enumerate(servers.items(), start=1)}

    def connect(self, site: str, database: str | None = None) -> AbstractAsyncContextManager[Connection]:
        """Connect as administrator, as the operator does."""
        return connect(self.real[site].target(*[database] if database else []))

    def settle(self, rounds: int = 40) -> None:
        """Let it run until the plan is done."""
        eventually(self._is_done, "the plan is done", seconds=300, explain=lambda: str(self._left()), pause_seconds=0.2)

    def _is_done(self) -> bool:
        self.round()
        return not self._left()

    def _left(self) -> list[str]:
        planned = plan(self.snapshot())
        return [*(action.words for action in planned.actions), *planned.put_off]

    def agents(self) -> bool:
        asyncio.run(self._agents())
        return False

    async def _agents(self) -> None:
        seen = [(self.real[name], (await self._ask(name)).database) for name in self.all_sites if self._speaks(name)]
        members = [site for site, facts in seen if facts is not None and facts.server_number is not None]
        for own in members:
            async with connect(own.target()) as connection:
                await connection.execute("select multiserver.beat()")
                for peer in members:
                    if peer is not own:
                        await self._note_complete(connection, own, peer)

    async def _note_complete(self, own: Connection, site: Site, peer: Site) -> None:
        async with connect(peer.target()) as there:
            facts = await completeness.ask_peer(there, site.number)
        if facts and facts.slot_birth and not await completeness.is_complete(own, facts):
            await completeness.note_pull(own, facts, await own.value("select clock_timestamp()"))

    def _prepare(self, site: str) -> bool:
        is_new = site not in self.volumes
        self.volumes.setdefault(site, Database("real"))
        return is_new

    def _begin_anew_if_rewound(self, site: str) -> None:
        facts = asyncio.run(self._ask(site)).database
        if facts is not None and facts.log_must_begin_anew:
            self.real[site].server.begin_anew(DATABASE)

    def _seen(self, site: str) -> SiteSeen:
        return asyncio.run(self._ask(site)) if self._speaks(site) else SiteSeen()

    async def _ask(self, site: str) -> SiteSeen:
        async with self.connect(site, "postgres") as connection:
            system_id = await connection.value("select system_identifier::text from pg_control_system()")
            if not await connection.rows("select 1 from pg_database where datname = %s", [OWNER]):
                return SiteSeen(system_id=system_id)
        async with self.connect(site) as connection:
            return SiteSeen(system_id=system_id, database=await observe(connection))

    def _do_in_database(self, action: Any, blueprint: Blueprint) -> None:
        actor = Actor(None, self.cluster, self, blueprint)  # type: ignore[arg-type]
        try:
            asyncio.run(actor._do(action))
        except NotReady:
            return  # It waits for a peer, and is planned again.


@pytest.fixture
def by_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Site]]:
    """Have sites reach each other on loopback instead of by Service and certificate."""
    real: dict[str, Site] = {}

    def conninfo(_blueprint: Any, _own: Any, peer: Any) -> str:
        return peer_conninfo(real[peer.name])

    monkeypatch.setattr("multiserver.control.act.conninfo_to", conninfo)
    monkeypatch.setattr("multiserver.control.plan.databases.conninfo_to", conninfo)
    yield real
