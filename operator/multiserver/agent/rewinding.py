"""The duty that finds out whether the site was put back in time, and the gate that it keeps before the site is ready.

Each peer is asked once for every time that a line to it comes up and for every start of the own server: only a start
can have gone with other data. Until every peer has been asked, or was found not to answer, the site is not ready: an
old snapshot should take no writes. A peer that is cut off keeps nobody from work; it is asked when its line is back,
and a site that turns out to be rewound then is closed and repaired all the same.

A rewound site is marked by a file on its volume, so that its log begins anew when its pod is restarted
(`prepare.rewound`).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from pathlib import Path

from multiserver.agent.link import Link
from multiserver.agent.local_database import INSTALLED, LocalDatabase, engine
from multiserver.agent.loops import NotYetError, sentence
from multiserver.agent.peer_database import peer_target
from multiserver.api.report import LinkState
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.postgres.connect import Certificate, Connection, connect
from multiserver.postgres.deadlines import within
from multiserver.postgres.errors import DatabaseError, NoSuchDatabase
from multiserver.replication.rewind import renounce, rewound_incarnation

logger = logging.getLogger(__name__)

ASKING_SECONDS = 5.0
"""How long a peer that answers the probe may take for this answer."""

STARTED = "select pg_postmaster_start_time() from multiserver.site_settings"
MUST_BEGIN_ANEW = "select multiserver.log_must_begin_anew()"

Asked = tuple[datetime | None, datetime]
"""When the line to the peer came up, and when the own server started."""


class NotAskedError(Exception):
    """Peers that answer the probe do not answer this question; the text names them and says why."""


class WatchForRewinding:
    """Asks the peers how they know this site; has the site renounce itself if they know a later state."""

    def __init__(
        self,
        database: LocalDatabase,
        config: Callable[[], SiteConfig],
        links: Callable[[], Mapping[str, Link]],
        certificate: Certificate,
        mark: Path,
    ) -> None:
        self._database = database
        self._config = config
        self._links = links
        self._certificate = certificate
        self._mark = mark
        self._asked: dict[str, Asked] = {}
        self._waits_for = "the site's own database"

    @property
    def waits_for(self) -> str:
        """Whose answer the site waits for before it is ready; empty once all were asked, and from then on."""
        return self._waits_for

    async def __call__(self) -> None:
        """Raises DatabaseError or OSError, NotReady while a session keeps a rewound site open, or NotAskedError."""
        try:
            async with engine(self._database) as own:
                try:
                    failures = await self._ask_all(own)
                finally:
                    await self._mark_if_rewound(own)
        except NotYetError:
            if await self._is_new():
                self._waits_for = ""
            raise
        if failures:  # Only here: within, a peer that is not there would pass for the own database.
            raise NotAskedError(f"peers could not say whether this site was put back in time: {'; '.join(failures)}")

    async def _mark_if_rewound(self, own: Connection) -> None:
        """From the fact, not from the finding: whoever is killed between the two finds nothing again."""
        if await own.value(MUST_BEGIN_ANEW):
            await asyncio.to_thread(self._mark.touch)

    async def _is_new(self) -> bool:
        """Whether the server answers and yet has no engine: then there is nothing that could be older than it was."""
        try:
            async with self._database.connection() as own:
                return await own.value(INSTALLED) is None
        except NoSuchDatabase:
            return True
        except DatabaseError:
            return False

    async def _ask_all(self, own: Connection) -> list[str]:
        """Ask all peers that are due, side by side, and act on their answers; give a sentence for each that fails.

        Raises DatabaseError or NotReady.
        """
        started = await own.value(STARTED)
        links = self._links()
        untried: list[str] = []
        due: dict[str, datetime | None] = {}
        asking: list[Coroutine[None, None, str | None]] = []
        for peer in self._config().peers if started else ():
            link = links.get(peer.name, Link())
            if link.state is LinkState.UNKNOWN:
                untried.append(peer.name)
            elif link.state is LinkState.CONNECTED and self._asked.get(peer.name) != (link.since, started):
                due[peer.name] = link.since
                asking.append(within(ASKING_SECONDS, self._rewound(own, peer)))
        answers = dict(zip(due, await asyncio.gather(*asking, return_exceptions=True), strict=True))
        told = {name: answer for name, answer in answers.items() if not isinstance(answer, BaseException)}
        if later := {name: incarnation for name, incarnation in told.items() if incarnation}:
            await self._renounce(own, later)
        self._asked |= {name: (due[name], started) for name in told}
        if self._waits_for:
            self._waits_for = ", ".join(untried)
        return [f"{name}: {sentence(answer)}" for name, answer in answers.items() if isinstance(answer, Exception)]

    async def _renounce(self, own: Connection, later: Mapping[str, str]) -> None:
        """Act on the answer of peers that know a later state. Raises DatabaseError or NotReady."""
        logger.warning(
            "a later state of this site than its database has is known to %s: the volume or a backup of an earlier "
            "time was put back. Site %s is closed, fetches from its peers what it lacks, and opens again by itself",
            *(", ".join(later), self._config().site),
        )
        for incarnation in set(later.values()):
            await renounce(own, incarnation)

    async def _rewound(self, own: Connection, peer: Member) -> str | None:
        config = self._config()
        target = peer_target(config, peer, self._certificate, "rewind check")
        async with connect(target) as there:
            return await rewound_incarnation(own, there, config.own.server_number)
