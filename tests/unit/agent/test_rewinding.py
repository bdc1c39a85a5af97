"""A peer that does not say how it knows the site is told as such, and holds up no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from multiserver.agent import local_database, rewinding
from multiserver.agent.link import Link
from multiserver.agent.rewinding import NotAskedError, WatchForRewinding
from multiserver.postgres.connect import Certificate
from multiserver.postgres.errors import Unavailable
from tests.unit.agent.sightings import CONFIG, NOON

NAMES = [f"peer{number}" for number in range(2, 14)]
CERTIFICATE = Certificate(Path("crt"), Path("key"), Path("ca"))


class Own:
    """The site's own database, which is well."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Own"]:
        yield self

    async def value(self, question: str) -> Any:
        return {rewinding.STARTED: NOON, local_database.INSTALLED: "migrations"}.get(question)


@pytest.fixture
def watch(tmp_path: Path) -> WatchForRewinding:
    """The duty of a site all of whose twelve peers answer the probe."""
    own, hamburg = CONFIG.members
    peers = [hamburg.model_copy(update={"name": name, "server_number": n}) for n, name in enumerate(NAMES, 2)]
    config = CONFIG.model_copy(update={"members": (own, *peers)})
    links = {name: Link().answered(NOON, 1.0, 0.0) for name in NAMES}
    return WatchForRewinding(Own(), lambda: config, lambda: links, CERTIFICATE, tmp_path / "mark")  # type: ignore[arg-type]


def answering(monkeypatch: pytest.MonkeyPatch, **failures: Exception) -> list[str]:
    """Have the peers answer that all is well, but for some; give the list of those that will have been asked."""
    asked: list[str] = []

    async def rewound(_watch: WatchForRewinding, _own: Any, peer: Any) -> None:
        asked.append(peer.name)
        if peer.name in failures:
            raise failures[peer.name]

    monkeypatch.setattr(WatchForRewinding, "_rewound", rewound)
    return asked


async def test_a_peer_that_fails_is_told_by_name_and_only_it_is_asked_again(
    watch: WatchForRewinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, peer3=Unavailable("connection refused"), peer4=KeyError("run"))
    with pytest.raises(NotAskedError, match="put back in time: peer3: connection refused; peer4: KeyError: 'run'"):
        await watch()
    asked = answering(monkeypatch)
    await watch()
    assert asked == ["peer3", "peer4"]
    assert watch.waits_for == ""


async def test_peers_that_hang_are_waited_for_side_by_side(
    watch: WatchForRewinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewinding, "ASKING_SECONDS", 0.2)
    hanging = 0

    async def hangs(*_: Any) -> None:
        nonlocal hanging
        hanging += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(WatchForRewinding, "_rewound", hangs)
    with pytest.raises(NotAskedError, match=r"peer13: no answer within 0\.2 s"):
        async with asyncio.timeout(12 * 0.2):
            await watch()
    assert hanging == len(NAMES)
    assert watch.waits_for == ""


async def test_two_peers_that_know_a_later_state_have_the_site_renounce_itself_once(
    watch: WatchForRewinding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    renounced: list[str] = []

    async def rewound(_watch: WatchForRewinding, _own: Any, peer: Any) -> str | None:
        return "before" if peer.name in ("peer3", "peer4") else None

    async def renounce(_own: Any, incarnation: str) -> None:
        renounced.append(incarnation)

    monkeypatch.setattr(WatchForRewinding, "_rewound", rewound)
    monkeypatch.setattr(rewinding, "renounce", renounce)
    await watch()
    assert renounced == ["before"]
    assert "is known to peer3, peer4: the volume or a backup of an earlier time was put back" in caplog.text
