"""What operator and agents do for all sites of an arena, in rounds: every peer is reached over its line only.

A cut, a dead server or a site that is being repaired is no error of a round: it is a sentence on what is left to do.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from signal import SIGQUIT

import psycopg

from multiserver.postgres.connect import Connection, Target, connect
from multiserver.postgres.errors import DatabaseError, StatementFailed
from multiserver.replication import completeness, links, subscriptions
from tests.chaos.arena import Arena
from tests.postgres.mesh import DATABASE, Site
from tests.postgres.rounds import NOT_YET, complete_link, keep_for_peers, renounce_if_rewound

LINK_SECONDS = 15.0
STATEMENT_SECONDS = 10.0
PAUSE_SECONDS = 0.1
BEYOND_REPAIR = "MS022"

WITHOUT_PEERS = SIGQUIT
"""Stops a server without waiting until its peers have confirmed everything, for which a cut may let it wait forever."""

MUST_BEGIN_ANEW = "select multiserver.log_must_begin_anew()"
IS_CLOSED = "select opened_at is null from multiserver.site_settings"


@dataclass
class Rounds:
    """One round after the other; every step follows from facts, so a round may fail anywhere."""

    place: Arena
    leaving: set[int] = field(default_factory=set)
    """Sites that stay closed."""
    renounced: set[int] = field(default_factory=set)
    """Sites that found out that they were put back in time."""
    beyond_repair: set[int] = field(default_factory=set)
    """Sites whose engine says that their volume must be emptied."""

    def settle(self, deadline: float) -> list[str]:
        """Do rounds until one finds nothing to do; return what is left at the deadline."""
        while left := self.round():
            if time.monotonic() > deadline:
                return left
            time.sleep(PAUSE_SECONDS)
        return []

    def round(self) -> list[str]:
        """Do once what operator and agents would do; return what was done, or is left to do, in sentences."""
        return asyncio.run(self._round())

    async def _round(self) -> list[str]:
        sites = self.place.running
        told = await asyncio.gather(*(self._keep(site) for site in sites))
        away = self.place.names.keys() - {site.number for site in sites}
        return [
            *(f"site {number} has no server" for number in sorted(away)),
            *(words for each in told for words in each),
        ]

    async def _keep(self, site: Site) -> list[str]:
        """Do all for one site."""
        with self._tolerant(f"site {site.number}", site) as left:
            async with held(self.place, site.number), to(site.target()) as own:
                if await own.value(MUST_BEGIN_ANEW):
                    await asyncio.to_thread(site.server.begin_anew, DATABASE, WITHOUT_PEERS)
                    return [f"site {site.number} has begun a new log"]
                if await keep_for_peers(own, site.number, dict(self.place.names)):
                    left.append(f"site {site.number} follows its peers")
                await own.execute("select multiserver.beat()")
            peers = [peer.number for peer in self.place.sites if peer is not site]
            told = await asyncio.gather(*(self._link(site, peer) for peer in peers))
            left += [words for _, words in told if words]
            await self._open(site, {peer for peer, (is_reached, _) in zip(peers, told, strict=True) if is_reached})
        return left

    async def _link(self, site: Site, peer: int) -> tuple[bool, str]:
        """Do all for the link from a peer; tell whether the peer answers, and what is left to do."""
        is_reached, name = False, f"the link from site {peer} to site {site.number}"
        with self._tolerant(name, site) as left:
            target = self.place.reach(site.number, peer)
            async with asyncio.timeout(LINK_SECONDS), to(site.target()) as own, to(target) as there:
                if await renounce_if_rewound(own, there, site.number):
                    self.renounced.add(site.number)
                told = await completeness.ask_peer(there, site.number)
                if told is None:
                    return False, f"site {peer} does not know its number yet"
                is_reached = True
                conninfo = target.conninfo(connect_timeout=5)
                if await subscriptions.ensure_subscription(own, peer, conninfo, told.incarnation):
                    left.append(f"{name} is made")
                if await complete_link(own, there, site.number):
                    left.append(f"{name} was incomplete")
        return is_reached, "; ".join(left)

    async def _open(self, site: Site, reached: set[int]) -> None:
        """Open a site, unless it leaves or reaches nobody whom it could ask what it lacks."""
        async with held(self.place, site.number), to(site.target()) as own:
            if not reached and await own.value(IS_CLOSED):
                raise links.NotReady("no peer can be asked")
            if site.number not in self.leaving:
                await links.ensure_open(own, self.place.names.keys() - {site.number}, reached)

    @contextmanager
    def _tolerant(self, what: str, site: Site) -> Iterator[list[str]]:
        """Turn what cuts and dead servers cause into a sentence of the list."""
        left: list[str] = []
        try:
            yield left
        except (DatabaseError, psycopg.Error, OSError, TimeoutError, *NOT_YET) as error:
            if isinstance(error, StatementFailed) and error.sqlstate == BEYOND_REPAIR:
                self.beyond_repair.add(site.number)
            left.append(f"{what}: {error}")


@asynccontextmanager
async def held(place: Arena, number: int) -> AsyncIterator[None]:
    """Have a site in hand, without keeping others from theirs."""
    hand = place.hands[number]
    await asyncio.to_thread(hand.acquire)
    try:
        yield
    finally:
        hand.release()


@asynccontextmanager
async def to(target: Target) -> AsyncIterator[Connection]:
    """Connect with the patience of a round."""
    async with connect(target, statement_timeout_seconds=STATEMENT_SECONDS) as connection:
        yield connection
