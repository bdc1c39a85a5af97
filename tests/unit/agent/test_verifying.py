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
from multiserver.api.siteconfig import Member
from multiserver.postgres.errors import Unavailable
from multiserver.replication.compare import NotComparable
from multiserver.replication.verify import Verified
from tests.unit.agent.sightings import CONFIG


class Known:
    """The site's database and the peers; it knows how one comparison with hamburg ended."""

    database = None

    def __init__(self, result: Verification, *others: Member) -> None:
        self.result = result
        self.stored: list[Any] = []
        self.others = others

    def config(self) -> Any:
        return CONFIG.model_copy(update={"members": (*CONFIG.members, *self.others)})

    @asynccontextmanager
    async def both(self, peer: Any) -> AsyncIterator[tuple["Known", str]]:
        yield self, peer.name

    async def execute(self, _statement: str, parameters: Any) -> None:
        self.stored.append(parameters)

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


LEIPZIG = CONFIG.members[1].model_copy(update={"name": "leipzig", "server_number": 3})
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def comparing(
    monkeypatch: pytest.MonkeyPatch, *, hinders: Exception | str = "", fails: Exception | None = None
) -> dict[str, int]:
    """Have hamburg hinder a comparison or fail in it, and all others be equal; give how often each is compared."""
    compared: dict[str, int] = {}

    async def hindrance(_verify: Verify, peer: Any, *_: Any) -> str:
        if peer.name == "hamburg" and isinstance(hinders, Exception):
            raise hinders
        return hinders if peer.name == "hamburg" else ""

    async def verified(_own: Any, peer: str) -> Verified:
        compared[peer] = compared.get(peer, 0) + 1
        if fails and peer == "hamburg":
            raise fails
        return Verified(tables=4, differences=(), unknown=())

    monkeypatch.setattr(Verify, "_hindrance", hindrance)
    monkeypatch.setattr(verifying, "verify", verified)
    return compared


@pytest.mark.parametrize("where", ["hinders", "fails"])
async def test_one_peers_unexpected_answer_is_told_at_once_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    compared = comparing(monkeypatch, **{where: KeyError("births")})  # type: ignore[arg-type]
    verify = a_verify(monkeypatch, Known(equal(LONG_AGO), LEIPZIG))
    await verify()
    assert compared["leipzig"] == 1
    assert verify.seen.verifications["leipzig"].is_equal
    assert verify.seen.verifications["hamburg"].message == "KeyError: 'births'"
    assert "the rows cannot be compared with hamburg's: KeyError: 'births'" in caplog.text
    await verify()
    assert compared["leipzig"] == 1


@pytest.mark.parametrize(
    ("problem", "again"),
    [
        ({"hinders": "what hamburg has is still being fetched"}, verifying.TRY_AGAIN),
        ({"hinders": Unavailable("no route to host")}, verifying.TRY_AGAIN),
        ({"fails": Unavailable("no route to host")}, verifying.VERIFY_AGAIN),
        ({"fails": NotComparable("the sites have the schema versions 1 and 2")}, verifying.VERIFY_AGAIN),
        ({}, timedelta(hours=24)),
    ],
)
async def test_what_has_cost_a_scan_is_not_repeated_after_a_minute(
    monkeypatch: pytest.MonkeyPatch, problem: dict[str, Any], again: timedelta
) -> None:
    comparing(monkeypatch, **problem)
    verify = a_verify(monkeypatch, Known(equal(LONG_AGO)))
    before = datetime.now(UTC)
    await verify()
    assert before + again <= verify._next["hamburg"] <= datetime.now(UTC) + again


async def test_a_comparison_that_began_before_it_was_asked_for_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(equal(LONG_AGO))
    verify = a_verify(monkeypatch, known)
    compared = 0

    async def verified(*_: Any) -> Verified:
        nonlocal compared
        compared += 1
        if compared == 1:
            verify.ask()
        return Verified(tables=compared, differences=(), unknown=())

    comparing(monkeypatch)
    monkeypatch.setattr(verifying, "verify", verified)
    await verify()
    assert verify.seen.verifications["hamburg"].attempted_at == LONG_AGO
    assert known.stored == []
    await verify()
    assert verify.seen.verifications["hamburg"].tables == 2
    await verify()
    assert compared == 2
