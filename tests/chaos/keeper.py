"""The keeper: it does rounds while clients write and faults come, and brings about what befalls the membership.

What befalls a member (membership.py) is an *act*: a generator that yields, with what it waits for, whenever rounds must
go on before it can. One act comes after the other, and each begins only when every member is known to have everything
of every other: so what a lost volume takes with it is never all that is left of another site's changes.
"""

import asyncio
import logging
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import psycopg

from multiserver.postgres.errors import DatabaseError
from multiserver.replication.observe import DatabaseFacts
from tests.chaos.arena import Arena
from tests.chaos.circumstances import Circumstances
from tests.chaos.clients import Crew
from tests.chaos.rounds import PAUSE_SECONDS, Rounds
from tests.postgres.mesh import Site
from tests.postgres.rounds import NOT_YET, facts_of

logger = logging.getLogger(__name__)

Act = Iterator[str]

ACT_SECONDS = 120.0
"""How long an act may take; faults that are active meanwhile hold it up."""
FINISH_SECONDS = 180.0
BETWEEN_SECONDS = 0.2
MEANWHILE_SECONDS = 1.5
"""How long clients think before a transaction, and while an act waits or is under way: it shall not outlast them."""
COMES_AND_GOES = (DatabaseError, psycopg.Error, OSError, TimeoutError, subprocess.CalledProcessError, *NOT_YET)
"""What a server that is killed, or a site that is not so far yet, causes: the act tries again after a round."""


class Keeper(threading.Thread):
    """Keeps a mesh in order, and changes its members on demand."""

    def __init__(self, place: Arena, crew: Crew, circumstances: Circumstances) -> None:
        super().__init__(daemon=True)
        self.place = place
        self.crew = crew
        self.circumstances = circumstances
        self.rounds = Rounds(place)
        self.undone: list[str] = []
        """Acts that did not come to their end, in sentences."""
        self._acts: deque[tuple[str, Act]] = deque()
        self._changed = threading.Condition()
        self._ends = False
        self._error: Exception | None = None

    def wish(self, name: str, act: Act) -> None:
        """Have an act done after those that were wished for before."""
        with self._changed:
            self._acts.append((name, act))
            self.crew.progress.think(MEANWHILE_SECONDS)
            self._changed.notify_all()

    def start(self) -> None:
        """Begin, with clients that take their time, so that they still work when members come and go."""
        self.crew.progress.think(BETWEEN_SECONDS)
        super().start()

    def finish(self) -> None:
        """Wait until all acts are done."""
        with self._changed:
            is_done = self._changed.wait_for(lambda: not self._acts or self._error is not None, FINISH_SECONDS)
            if not is_done:
                self.undone.append(f"{self._acts[0][0]} did not begin within {FINISH_SECONDS:g} s")

    def stop(self) -> None:
        """End the thread; raise what it met."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        self.join()
        self.crew.progress.think(0)
        self.crew.progress.dismiss_paused()
        self.undone += [f"site {n} took itself for one put back in time" for n in sorted(self.rounds.renounced)]
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the history shall report it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _work(self) -> None:
        begun: float | None = None
        while not self._ends:
            self.rounds.round()
            if self._acts and begun is None and holds(lambda: is_whole(self.place)):
                begun = time.monotonic()
            if self._acts and begun is not None:
                name, act = self._acts[0]
                waits_for = next(act, None)
                progress = self.crew.progress
                logger.info("%d of %d, %s: %s", progress.done, progress.transactions, name, waits_for or "done")
                if waits_for is not None and time.monotonic() > begun + ACT_SECONDS:
                    self.undone.append(f"{name}: not within {ACT_SECONDS:g} s: {waits_for}")
                    waits_for = None
                if waits_for is None:
                    begun = None
                    with self._changed:
                        self._acts.popleft()
                        self.crew.progress.think(MEANWHILE_SECONDS if self._acts else BETWEEN_SECONDS)
                        self._changed.notify_all()
            with self._changed:
                self._changed.wait_for(lambda: self._ends, PAUSE_SECONDS)


def until(what: str, condition: Callable[[], bool]) -> Act:
    """Let rounds go by until the condition holds; a server that is away only means that it does not yet."""
    while not holds(condition):
        yield what


def holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except COMES_AND_GOES:
        return False


def look(site: Site) -> DatabaseFacts:
    return asyncio.run(facts_of(site))


def serves(facts: DatabaseFacts) -> bool:
    return facts.opened_at is not None and facts.owner_may_login and not facts.log_must_begin_anew


def is_open(site: Site) -> bool:
    return serves(look(site))


def has_all_of(own: DatabaseFacts, peer: DatabaseFacts) -> bool:
    """Does a site have everything that a peer ever had to send, up to what is under way?"""
    slot = next((slot for slot in peer.slots if slot.peer_number == own.server_number), None)
    noted = next((link for link in own.links if link.peer_number == peer.server_number), None)
    return (
        slot is not None
        and noted is not None
        and noted.covers(slot.birth)
        and noted.peer_incarnation == peer.incarnation
    )


def is_whole(place: Arena) -> bool:
    """Are all members there and open, each with everything of each other up to what is under way?"""
    members = [look(site) for site in place.running]
    return {facts.server_number for facts in members} == place.names.keys() and all(
        serves(own)
        and set(own.sites) == place.names.keys()
        and all(has_all_of(own, peer) for peer in members if peer is not own)
        for own in members
    )
