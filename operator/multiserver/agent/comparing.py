"""What a site needs to compare itself with a peer: a connection to each database, with time for whole tables.

A peer that is not reached, or has another schema version for a moment, is no fault of a duty that compares: the probes
tell of the one, and the other passes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from multiserver.agent.local_database import LocalDatabase
from multiserver.agent.peer_database import peer_target
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.postgres.connect import Certificate, Connection, Target, connect
from multiserver.replication.compare import SCAN_SECONDS


@dataclass(frozen=True)
class Surroundings:
    """The site's own database, and how peers are reached."""

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
