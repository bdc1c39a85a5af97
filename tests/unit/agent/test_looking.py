"""What a volume that hangs must not do: hold up the agent, or make the database look unknown."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiserver.agent import looking
from multiserver.agent.looking import LookAtDatabase
from multiserver.agent.seen import Sightings
from tests.unit.agent.sightings import NOON


class Archiver:
    """A connection to a database whose archiving fails."""

    async def rows(self, _question: str) -> list[dict[str, Any]]:
        return [
            {
                "last_archived_wal": None,
                "last_archived_time": None,
                "last_failed_wal": "000000010000000000000001",
                "last_failed_time": NOON,
                "waiting_wal": "000000010000000000000001",
                "waiting_since": NOON,
                "started_at": NOON,
                "asked_at": NOON,
            }
        ]


@pytest.fixture
def hanging_volume(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    over = threading.Event()
    monkeypatch.setattr(looking, "write_problem", lambda _folder: str(over.wait(5)))
    monkeypatch.setattr(looking, "DISK_SECONDS_MAX", 0.2)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_volume")
async def test_a_repository_that_hangs_is_told_while_everything_else_goes_on() -> None:
    look = LookAtDatabase(None, Path("/repository"), Sightings())  # type: ignore[arg-type]

    looked = asyncio.create_task(look._archive(Archiver()))  # type: ignore[arg-type]
    beats = 0
    while not looked.done():
        await asyncio.sleep(0.01)
        beats += 1

    assert beats > 5
    assert "/repository does not answer within 0.2 s" in looked.result().message
