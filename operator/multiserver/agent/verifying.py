"""The duty that verifies that all rows equal those of every peer. What it finds is in the report."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from multiserver.agent.comparing import Surroundings
from multiserver.agent.local_database import engine
from multiserver.agent.loops import sentence
from multiserver.agent.seen import Sightings
from multiserver.api.moments import is_ahead, moment
from multiserver.api.report import Verification
from multiserver.api.siteconfig import Member
from multiserver.postgres.connect import Connection
from multiserver.postgres.errors import DatabaseError
from multiserver.replication.compare import NotComparable, describe
from multiserver.replication.completeness import ask_peer, is_complete
from multiserver.replication.verify import Verified, verify

logger = logging.getLogger(__name__)

VERIFY_AGAIN = timedelta(minutes=10)
"""When to verify again where rows were read and are not known to be equal."""
TRY_AGAIN = timedelta(minutes=1)
"""When to verify again where the rows were not even read, which costs nothing."""
DIFFERENCES_TOLD_MAX = 20

KNOWN_RESULTS = """
select v.peer_number, v.result from multiserver.verifications v join multiserver.site_settings using (incarnation)
"""
STORE_RESULT = """
insert into multiserver.verifications as v (peer_number, incarnation, result)
select %s, incarnation, %s from multiserver.site_settings
on conflict (peer_number) do update set incarnation = excluded.incarnation, result = excluded.result
"""
DOUBT = "update multiserver.links set doubted_at = clock_timestamp() where peer_number = %s"


@dataclass
class Verify:
    """Compares all rows with each peer's, so often as the site is told and when asked, and keeps how that ended."""

    surroundings: Surroundings
    seen: Sightings
    on_result: Callable[[], None]
    _is_loaded: bool = False
    _next: dict[str, datetime] = field(default_factory=dict)
    _asked: int = 0
    """How often somebody asked: a comparison that began before is no answer."""

    def ask(self) -> None:
        """Have every peer compared at the next turn."""
        self._asked += 1
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
        asked, again = self._asked, TRY_AGAIN
        known = self.seen.verifications.get(peer.name, Verification())
        try:
            async with self.surroundings.both(peer) as (own, other):
                if hindrance := await self._hindrance(peer, own, other):
                    result = known.model_copy(update={"message": hindrance})
                else:
                    again = VERIFY_AGAIN
                    result = await self._verify(peer, known, own, other)
        except Exception as error:  # noqa: BLE001 - whatever a peer answers must not end the comparisons with others
            result = known.model_copy(update={"message": sentence(error)})
            if not isinstance(error, DatabaseError | NotComparable) and result.message != known.message:
                logger.warning("the rows cannot be compared with %s's: %s", peer.name, result.message)
        if asked != self._asked:
            return  # Whoever asked meanwhile is answered by the next comparison, for which the peer is due.
        result = result.model_copy(update={"attempted_at": datetime.now(UTC)})
        self.seen.verifications[peer.name] = result
        self._next[peer.name] = datetime.now(UTC) + (self._period if result.is_equal and not result.message else again)
        async with engine(self.surroundings.database) as connection:
            await connection.execute(STORE_RESULT, [peer.server_number, Jsonb(result.wire())])
        self.on_result()

    async def _hindrance(self, peer: Member, own: Connection, other: Connection) -> str:
        """Say why the rows cannot be equal yet; empty if they may be compared."""
        facts = await ask_peer(other, self.surroundings.config().own.server_number)
        if facts is None or not await is_complete(own, facts):
            return f"what {peer.name} has is still being fetched"
        if not (await describe(other)).is_complete_with(await describe(own)):
            return f"{peer.name} is still fetching what it lacks"
        return ""

    async def _verify(self, peer: Member, known: Verification, own: Connection, other: Connection) -> Verification:
        """Give how the comparison ended."""
        found = await verify(own, other)
        if any(table.rows > table.damaged for table in found.differences):
            await own.execute(DOUBT, [peer.server_number])  # What is missing here is pulled.
        if found.unknown and not found.differences:
            return known.model_copy(update={"message": "; ".join(found.unknown)})
        return _result(peer, found)


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
