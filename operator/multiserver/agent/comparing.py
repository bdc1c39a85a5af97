"""The duties that compare the site with its peers: close gaps behind lost slots, and verify that all rows are equal.

A peer that is not reached, or has another schema version for a moment, is no fault of the duty: the probes tell of the
one, and the other passes. What a comparison says of the rows is in the report.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from multiserver.agent.local_database import LocalDatabase, engine
from multiserver.agent.loops import NotYetError, sentence
from multiserver.agent.peer_database import peer_target
from multiserver.agent.seen import Sightings
from multiserver.api.moments import is_ahead, moment
from multiserver.api.report import Verification
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.postgres.connect import Certificate, Connection, Target, connect
from multiserver.postgres.errors import AccessRefused, DatabaseError, DeadlineExceeded, Unavailable
from multiserver.replication.compare import SCAN_SECONDS, NotComparable, describe
from multiserver.replication.completeness import ask_peer, is_complete, note_pull
from multiserver.replication.pull import pull
from multiserver.replication.verify import Verified, verify

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 30.0
"""A link that was complete is looked at again after this time; one that is in doubt at once."""
LOOK_AGAIN_SECONDS = 2.0
"""How often it is seen, while pulls go on, whether another peer is due."""
ANSWER_SECONDS = 15.0
"""How long a peer may take to tell how its end of the link is."""
PULL_AGAIN_SECONDS = 20.0
"""How long a pull that did not make its link complete, or failed, is left alone."""
VERIFY_AGAIN = timedelta(minutes=10)
"""When to verify again where all rows were read and are not known to be equal."""
TRY_AGAIN = timedelta(minutes=1)
"""When to verify again where the rows were not even read, which costs nothing."""
DIFFERENCES_TOLD_MAX = 20

PULLS_AT_ONCE = 3
"""Each holds the states of many keys in memory, and their rows are merged one after the other anyway."""

NOT_REACHED = (Unavailable, AccessRefused, DeadlineExceeded)

DOUBTS = "select peer_number from multiserver.links where doubted_at is not null"
OWN_INCARNATION = "select incarnation::text from multiserver.site_settings"
KNOWN_RESULTS = """
select v.peer_number, v.result from multiserver.verifications v join multiserver.site_settings using (incarnation)
"""
STORE_RESULT = """
insert into multiserver.verifications as v (peer_number, incarnation, result)
select %s, incarnation, %s from multiserver.site_settings
on conflict (peer_number) do update set incarnation = excluded.incarnation, result = excluded.result
"""
DOUBT = "update multiserver.links set doubted_at = clock_timestamp() where peer_number = %s"


@dataclass(frozen=True)
class Surroundings:
    """What both duties need: the site's own database, and how peers are reached."""

    database: LocalDatabase
    own: Target
    """The own database again, for connections of their own."""
    config: Callable[[], SiteConfig]
    certificate: Certificate

    @asynccontextmanager
    async def both(
        self, peer: Member, statement_seconds: float = SCAN_SECONDS
    ) -> AsyncIterator[tuple[Connection, Connection]]:
        """Open a connection to the own database and one to a peer's; unless told otherwise with time for whole tables.

        Raises DatabaseError.
        """
        target = peer_target(self.config(), peer, self.certificate, "comparing")
        async with (
            connect(target, statement_timeout_seconds=statement_seconds) as other,
            connect(self.own, statement_timeout_seconds=statement_seconds) as own,
        ):
            yield own, other


class CloseGaps:
    """Makes every link complete: pulls from a peer whose slot was made anew, or whose link is in doubt.

    A turn lasts as long as its longest pull; all other peers are asked in their time meanwhile.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._next: dict[str, float] = {}
        """When each peer is due, by the clock that is never set."""
        self._turns = asyncio.Semaphore(PULLS_AT_ONCE)

    async def __call__(self) -> None:
        """Raises DatabaseError if the own database or a pull fails, or NotYetError."""
        failures: list[Exception] = []
        closing: dict[str, asyncio.Task[Exception | None]] = {}
        try:
            while True:
                for peer in await self._due():
                    if peer.name not in closing:
                        closing[peer.name] = asyncio.create_task(self._close(peer), name=f"closing gap of {peer.name}")
                if not closing:
                    break
                await asyncio.wait(closing.values(), timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                ended = [peer for peer, task in closing.items() if task.done()]
                failures += [failure for peer in ended if (failure := closing.pop(peer).result())]
        finally:
            for task in closing.values():
                task.cancel()
            await asyncio.gather(*closing.values(), return_exceptions=True)
        if failures:
            raise failures[0]

    async def _due(self) -> list[Member]:
        async with engine(self._surroundings.database) as connection:
            doubts = {row["peer_number"] for row in await connection.rows(DOUBTS)}
            if await connection.value(OWN_INCARNATION) is None:
                raise NotYetError("the site was not told its number yet")
        now = monotonic()
        return [peer for peer in self._surroundings.config().peers if self._is_due(peer, doubts, now)]

    def _is_due(self, peer: Member, doubts: set[int], now: float) -> bool:
        again = self._next.get(peer.name, now)
        return now >= again or (peer.server_number in doubts and now >= again - ASK_AGAIN_SECONDS + PULL_AGAIN_SECONDS)

    async def _close(self, peer: Member) -> Exception | None:
        """Make the link from one peer complete; give what is a fault."""
        try:
            is_done = await self._pull_if_needed(peer)
        except (*NOT_REACHED, NotComparable) as error:
            logger.debug("nothing is pulled from %s: %s", peer.name, sentence(error))
            is_done = False
        except DatabaseError as error:
            self._next[peer.name] = monotonic() + PULL_AGAIN_SECONDS
            return error
        self._next[peer.name] = monotonic() + (ASK_AGAIN_SECONDS if is_done else PULL_AGAIN_SECONDS)
        return None

    async def _pull_if_needed(self, peer: Member) -> bool:
        """Pull what is missing; give whether the link is complete."""
        async with self._surroundings.both(peer, ANSWER_SECONDS) as (own, other):
            facts = await ask_peer(other, self._surroundings.config().own.server_number)
            if facts is None:
                return False
            if await is_complete(own, facts):
                return True
        if facts.slot_birth is None:
            return False  # What it writes now would be missing again.
        async with self._turns, self._surroundings.both(peer) as (own, other):
            began = await own.value("select clock_timestamp()")
            logger.info("the link from %s may lack something: comparing, and pulling what it has", peer.name)
            pulled = await pull(own, other, lambda words: logger.debug("pulling from %s: %s", peer.name, words))
            is_done = await note_pull(own, facts, began)
            logger.info("%d rows were pulled from %s%s", pulled.rows, peer.name, "" if is_done else "; once more soon")
            return is_done


@dataclass
class Verify:
    """Compares all rows with each peer's, so often as the site is told and when asked, and keeps how that ended."""

    surroundings: Surroundings
    seen: Sightings
    on_result: Callable[[], None]
    _is_loaded: bool = False
    _next: dict[str, datetime] = field(default_factory=dict)

    def ask(self) -> None:
        """Have every peer compared at the next turn."""
        self._next.clear()
        self._is_loaded = True

    async def __call__(self) -> None:
        """Raises DatabaseError if the own database fails, or NotYetError."""
        if not self._is_loaded:
            await self._load()
        for peer in self.surroundings.config().peers:
            if self._is_due(peer, datetime.now(UTC)):
                await self._compare(peer)

    def _is_due(self, peer: Member, now: datetime) -> bool:
        attempted_at = self.seen.verifications.get(peer.name, Verification()).attempted_at
        # By a clock that was ahead, the next time is too far away as well.
        return now >= self._next.get(peer.name, now) or (attempted_at is not None and is_ahead(attempted_at, now))

    async def _load(self) -> None:
        """Remember what an agent before this one has found."""
        async with engine(self.surroundings.database) as connection:
            rows = {row["peer_number"]: row["result"] for row in await connection.rows(KNOWN_RESULTS)}
        for peer in self.surroundings.config().peers:
            try:
                known = Verification.model_validate(rows[peer.server_number])
            except (KeyError, ValidationError):
                continue
            self.seen.verifications[peer.name] = known
            if known.verified_at and known.is_equal and not known.message:
                self._next[peer.name] = known.verified_at + self._period
        self._is_loaded = True

    @property
    def _period(self) -> timedelta:
        return timedelta(hours=self.surroundings.config().verify_every_hours)

    async def _compare(self, peer: Member) -> None:
        known = self.seen.verifications.get(peer.name, Verification())
        try:
            result, again = await self._verify(peer, known)
        except (DatabaseError, NotComparable) as error:
            result, again = known.model_copy(update={"message": sentence(error)}), TRY_AGAIN
        result = result.model_copy(update={"attempted_at": datetime.now(UTC)})
        self.seen.verifications[peer.name] = result
        self._next[peer.name] = datetime.now(UTC) + again
        async with engine(self.surroundings.database) as connection:
            await connection.execute(STORE_RESULT, [peer.server_number, Jsonb(result.wire())])
        self.on_result()

    async def _verify(self, peer: Member, known: Verification) -> tuple[Verification, timedelta]:
        """Give how the comparison ended, and when the next one is due."""
        async with self.surroundings.both(peer) as (own, other):
            facts = await ask_peer(other, self.surroundings.config().own.server_number)
            if facts is None or not await is_complete(own, facts):
                return known.model_copy(update={"message": f"what {peer.name} has is still being fetched"}), TRY_AGAIN
            if not (await describe(other)).is_complete_with(await describe(own)):
                return known.model_copy(update={"message": f"{peer.name} is still fetching what it lacks"}), TRY_AGAIN
            found = await verify(own, other)
            if any(table.rows > table.damaged for table in found.differences):
                await own.execute(DOUBT, [peer.server_number])  # What is missing here is pulled.
        if found.unknown and not found.differences:
            return known.model_copy(update={"message": "; ".join(found.unknown)}), VERIFY_AGAIN
        return _result(peer, found), VERIFY_AGAIN if found.differences else self._period


def _result(peer: Member, found: Verified) -> Verification:
    now = datetime.now(UTC)
    for table in found.differences:
        logger.warning(
            "table %s differs from %s's in %d rows, %d of them damaged, such as %s; see the runbook of the reason in "
            "DataConsistent",
            *(table.table, peer.name, table.rows, table.damaged, ", ".join(table.examples)),
        )
    if not found.differences:
        logger.info("all rows of %d tables equal those of %s at %s", found.tables, peer.name, moment(now))
    return Verification(
        verified_at=now,
        is_equal=not found.differences,
        tables=found.tables,
        differences=found.differences[:DIFFERENCES_TOLD_MAX],
    )
