"""When the agent pulls from a peer again, and whom it tells that a pull cannot succeed."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from multiserver.agent import closing_gaps
from multiserver.agent.closing_gaps import PULL_AGAIN_SECONDS, PULL_AGAIN_SECONDS_MAX, CloseGaps
from multiserver.postgres.errors import DatabaseError, DeadlineExceeded, StatementFailed, Unavailable
from multiserver.replication.completeness import PeerFacts
from multiserver.replication.pull import Pulled
from tests.unit.agent.sightings import CONFIG

LEIPZIG = CONFIG.members[1].model_copy(update={"name": "leipzig", "server_number": 3})
FACTS = PeerFacts(
    server_number=2, incarnation="i", schema_version=0, is_open=True, slot_birth="b", from_start=False
)  # fmt: skip


class World:
    """The site's database and its peers; hamburg, and leipzig if it is named, lack nothing but what is set here."""

    database = None

    def __init__(self) -> None:
        self.now = 1000.0
        self.peers: tuple[Any, ...] = CONFIG.peers
        self.is_complete = False
        self.completes = False
        self.answer: Exception | None = None
        """What hamburg says when it is asked for its end of the link; nothing wrong if None."""
        self.beyond_repair: Exception | None = None
        self.failure: Exception | None = None
        """How a pull from hamburg fails."""
        self.pulls: list[tuple[str, float]] = []
        """From whom it was pulled, and when."""

    def config(self) -> Any:
        return CONFIG.model_copy(update={"members": (CONFIG.own, *self.peers)})

    @asynccontextmanager
    async def both(self, peer: Any, _seconds: float = 0) -> AsyncIterator[tuple["World", str]]:
        yield self, peer.name

    async def rows(self, _question: str) -> list[Any]:
        return [{"peer_number": 2}, {"peer_number": 3}]

    async def value(self, _question: str) -> str:
        return "something"

    def times(self) -> list[float]:
        """The pauses between the pulls."""
        at = [moment for _, moment in self.pulls]
        return [after - before for before, after in pairwise(at)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    @asynccontextmanager
    async def engine(_database: object) -> AsyncIterator[World]:
        yield made

    async def ask_peer(peer: Any, _number: int) -> PeerFacts:
        if made.answer and peer == "hamburg":
            raise made.answer
        return FACTS

    async def is_complete(_own: object, _facts: object) -> bool:
        return made.is_complete

    async def refuse_beyond_repair(_own: object, _facts: object) -> None:
        if made.beyond_repair:
            raise made.beyond_repair

    async def pull(_own: object, peer: Any, _progress: object) -> Pulled:
        made.pulls.append((peer, made.now))
        if made.failure and peer == "hamburg":
            raise made.failure
        return Pulled(0)

    async def note_pull(*_: object) -> bool:
        return made.completes

    for double in (engine, ask_peer, is_complete, refuse_beyond_repair, pull, note_pull):
        monkeypatch.setattr(closing_gaps, double.__name__, double)
    monkeypatch.setattr(closing_gaps, "monotonic", lambda: made.now)
    return made


def close_gaps(world: World) -> CloseGaps:
    return CloseGaps(world)  # type: ignore[arg-type]


async def for_an_hour(world: World, close: CloseGaps) -> list[Exception]:
    """Do the duty every two seconds; give what it raised."""
    raised = []
    for _ in range(1800):
        try:
            await close()
        except Exception as error:  # noqa: BLE001 - as the loop of a duty
            raised.append(error)
        world.now += 2
    return raised


async def test_pulls_that_do_not_make_the_link_complete_become_rare(world: World) -> None:
    assert await for_an_hour(world, close_gaps(world)) == []
    assert world.times()[:7] == [20, 40, 80, 160, 320, 600, 600]
    assert max(world.times()) == PULL_AGAIN_SECONDS_MAX


async def test_after_a_pull_that_helped_the_next_one_is_not_put_off(world: World) -> None:
    close = close_gaps(world)
    await for_an_hour(world, close)
    world.completes = True
    await for_an_hour(world, close)
    world.completes = False
    world.pulls.clear()
    await for_an_hour(world, close)
    assert world.times()[:2] == [PULL_AGAIN_SECONDS, 2 * PULL_AGAIN_SECONDS]


async def test_a_pull_whose_line_broke_is_soon_tried_again_and_no_fault(world: World) -> None:
    world.failure = Unavailable("hamburg: the connection is lost")
    assert await for_an_hour(world, close_gaps(world)) == []
    assert max(world.times()) <= PULL_AGAIN_SECONDS


async def test_a_table_that_takes_too_long_is_told_at_once_and_tried_rarely(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.failure = DeadlineExceeded("database app at hamburg:5432: canceling statement due to statement timeout")
    with pytest.raises(closing_gaps.PullTooSlow, match=r"hamburg:5432.*a table once may take 3600 s"):
        await close_gaps(world)()
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told.startswith("what hamburg has and this site may lack cannot be fetched: database app at hamburg:5432")
    assert told.endswith("tried again by itself in 20 s")
    await for_an_hour(world, close_gaps(world))
    assert world.times()[-1] == PULL_AGAIN_SECONDS_MAX


async def test_a_site_beyond_repair_pulls_nothing_and_says_so(world: World) -> None:
    world.beyond_repair = StatementFailed("this database was put back", "MS022", None)
    raised = await for_an_hour(world, close_gaps(world))
    assert world.pulls == []
    assert {str(error) for error in raised} == {"this database was put back"}


@pytest.mark.parametrize(
    "answer", [KeyError("incarnation"), DatabaseError("hamburg: no such function")], ids=["unexpected", "refused"]
)
async def test_one_peers_unexpected_answer_holds_up_no_pull_from_another(
    world: World, answer: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world.peers = (*CONFIG.peers, LEIPZIG)
    world.answer = answer
    world.completes = True
    close = close_gaps(world)
    with pytest.raises(type(answer)):
        await close()
    assert world.pulls == [("leipzig", world.now)]
    assert "what hamburg has and this site may lack cannot be fetched" in caplog.text
    await close()  # hamburg is left alone for a while
