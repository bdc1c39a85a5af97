"""When the agent compares its rows with a peer's again, also after the clock was wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from multiserver.agent import verifying
from multiserver.agent.seen import Sightings
from multiserver.agent.verifying import Verify
from multiserver.api.report import Verification
from tests.unit.agent.sightings import CONFIG


class Known:
    """The site's database and the peers; it knows how one comparison with hamburg ended, and keeps no other."""

    database = None

    def __init__(self, result: Verification) -> None:
        self.result = result

    def config(self) -> Any:
        return CONFIG

    async def rows(self, _question: str) -> list[dict[str, Any]]:
        return [{"peer_number": 2, "result": self.result.wire()}]


def equal(at: datetime) -> Verification:
    return Verification(verified_at=at, attempted_at=at, is_equal=True, tables=4)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The peers that were compared with."""
    peers: list[str] = []

    async def compare(verify: Verify, peer: Any) -> None:
        peers.append(peer.name)
        now = datetime.now(UTC)
        verify.seen.verifications[peer.name] = equal(now)
        verify._next[peer.name] = now + timedelta(hours=24)

    monkeypatch.setattr(Verify, "_compare", compare)
    return peers


def a_verify(monkeypatch: pytest.MonkeyPatch, known: Known) -> Verify:
    @asynccontextmanager
    async def engine(_database: object) -> AsyncIterator[Known]:
        yield known

    monkeypatch.setattr(verifying, "engine", engine)
    return Verify(known, Sightings(), lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("age", "due"),
    [(timedelta(hours=1), False), (timedelta(hours=25), True), (timedelta(days=-365), True)],
    ids=["lately", "long ago", "in the future"],
)
async def test_what_an_agent_before_has_found_is_due_again_when_it_is_old_or_from_the_future(
    monkeypatch: pytest.MonkeyPatch, compared: list[str], age: timedelta, due: bool
) -> None:
    verify = a_verify(monkeypatch, Known(equal(datetime.now(UTC) - age)))
    await verify()
    assert compared == ["hamburg"] * due
    await verify()
    assert compared == ["hamburg"] * due


async def test_a_clock_that_is_set_back_meanwhile_puts_the_next_comparison_off_by_nothing(
    monkeypatch: pytest.MonkeyPatch, compared: list[str]
) -> None:
    now = datetime.now(UTC)
    verify = a_verify(monkeypatch, Known(equal(now)))
    await verify()
    assert compared == []
    ahead = now + timedelta(days=30)
    verify.seen.verifications["hamburg"] = equal(ahead)
    verify._next["hamburg"] = ahead + timedelta(hours=24)
    await verify()
    assert compared == ["hamburg"]
