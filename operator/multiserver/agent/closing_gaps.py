"""The duty that closes gaps behind lost slots and broken histories, by fetching what a peer has and the site lacks."""

import asyncio
import logging
from time import monotonic

from multiserver.agent.comparing import Surroundings
from multiserver.agent.local_database import engine
from multiserver.agent.loops import NotYetError, sentence
from multiserver.api.siteconfig import Member
from multiserver.postgres.errors import AccessRefused, DeadlineExceeded, Unavailable
from multiserver.replication.compare import SCAN_SECONDS, NotComparable
from multiserver.replication.completeness import ask_peer, is_complete, note_pull, refuse_beyond_repair
from multiserver.replication.pull import pull

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 30.0
"""A link that was complete is looked at again after this time; one that is in doubt at once."""
LOOK_AGAIN_SECONDS = 2.0
"""How often it is seen, while pulls go on, whether another peer is due."""
ANSWER_SECONDS = 15.0
"""How long a peer may take to tell how its end of the link is."""
PULL_AGAIN_SECONDS = 20.0
"""How long a pull that did not make its link complete, or failed, is left alone; each further one twice as long."""
PULL_AGAIN_SECONDS_MAX = 600.0
"""So that what a pull cannot mend costs both sites little, and is mended soon after its cause is gone."""
PULLS_AT_ONCE = 3
"""Each holds the states of many keys in memory, and their rows are merged one after the other anyway."""

NOT_REACHED = (Unavailable, AccessRefused, DeadlineExceeded)

DOUBTS = "select peer_number from multiserver.links where doubted_at is not null"
OWN_INCARNATION = "select incarnation::text from multiserver.site_settings"


class PullTooSlow(Exception):
    """A pull was given up since one pass over a table took too long at a site; the text says at which."""


class CloseGaps:
    """Makes every link complete: pulls from a peer whose slot was made anew, or whose link is in doubt.

    A turn lasts as long as its longest pull; all other peers are asked in their time meanwhile.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._next: dict[str, float] = {}
        """When each peer is due, by the clock that is never set."""
        self._pauses: dict[str, float] = {}
        """How long each peer whose last pull did not help is left alone."""
        self._turns = asyncio.Semaphore(PULLS_AT_ONCE)

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError if the own database fails, or at the end what has failed with a peer."""
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
        is_doubted = peer.server_number in doubts and peer.name not in self._pauses
        return now >= again or (is_doubted and now >= again - ASK_AGAIN_SECONDS + PULL_AGAIN_SECONDS)

    async def _close(self, peer: Member) -> Exception | None:
        """Make the link from one peer complete; give what is a fault, whatever it is: it is no other peer's."""
        fault, is_done = None, False
        try:
            is_done = await self._pull_if_needed(peer)
        except (*NOT_REACHED, NotComparable) as error:
            logger.debug("nothing is pulled from %s: %s", peer.name, sentence(error))
        except Exception as error:  # noqa: BLE001 - whatever a peer answers must not end the pulls from others
            fault = error
            seconds = self._lengthen_pause(peer)
            words = "what %s has and this site may lack cannot be fetched: %s; tried again by itself in %.0f s"
            logger.warning(words, peer.name, sentence(error), seconds)
        if is_done:
            self._pauses.pop(peer.name, None)
        pause = ASK_AGAIN_SECONDS if is_done else self._pauses.get(peer.name, PULL_AGAIN_SECONDS)
        self._next[peer.name] = monotonic() + pause
        return fault

    def _lengthen_pause(self, peer: Member) -> float:
        pause = min(2 * self._pauses.get(peer.name, PULL_AGAIN_SECONDS / 2), PULL_AGAIN_SECONDS_MAX)
        self._pauses[peer.name] = pause
        return pause

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
            await refuse_beyond_repair(own, facts)
        async with self._turns, self._surroundings.both(peer) as (own, other):
            began = await own.value("select clock_timestamp()")
            logger.info("the link from %s may lack something: comparing, and pulling what it has", peer.name)
            try:
                pulled = await pull(own, other, lambda words: logger.debug("pulling from %s: %s", peer.name, words))
            except DeadlineExceeded as error:
                raise PullTooSlow(
                    f"{error}; reading a table once may take {SCAN_SECONDS:.0f} s: see at both sites whether it is "
                    "locked, or its disk slow"
                ) from error
            is_done = await note_pull(own, facts, began)
            again = "" if is_done else f"; once more in {self._lengthen_pause(peer):.0f} s"
            logger.info("%d rows were pulled from %s%s", pulled.rows, peer.name, again)
            return is_done
