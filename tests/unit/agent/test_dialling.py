"""A peer whose line is back is dialled once, by its device, and again if Syncthing did not take it."""

from datetime import timedelta
from typing import Any

import pytest

from multiserver.agent.duties import DialPeers
from multiserver.agent.link import Link
from multiserver.files.client import SyncthingError
from tests.unit.agent.sightings import CONFIG, NOON

UP = Link().answered(NOON, 2.0, 0.5)
CUT = UP.failed(NOON + timedelta(minutes=1), "no answer")
BACK = CUT.answered(NOON + timedelta(minutes=2), 2.0, 0.5)


class Recorded:
    """Syncthing that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.is_down = False

    async def call(self, _method: str, path: str, _body: object = None, parameters: Any = None) -> None:
        if self.is_down:
            raise SyncthingError("Syncthing does not answer")
        self.told.append((path.rsplit("/", 1)[1], parameters["device"]))


async def turns(syncthing: Recorded, *links: Link) -> None:
    seen = iter(links)
    dial = DialPeers(syncthing, lambda: CONFIG, lambda: {"hamburg": next(seen)})  # type: ignore[arg-type]
    for _ in links:
        await dial()


async def test_a_peer_whose_line_is_back_is_dialled_once() -> None:
    syncthing = Recorded()

    await turns(syncthing, UP, CUT, CUT, BACK, BACK)

    assert syncthing.told == [("pause", "H"), ("resume", "H")]


async def test_a_peer_that_was_never_cut_off_keeps_its_connection() -> None:
    syncthing = Recorded()

    await turns(syncthing, Link(), UP, UP)

    assert syncthing.told == []


async def test_a_peer_is_dialled_as_soon_as_syncthing_answers() -> None:
    syncthing, link = Recorded(), CUT
    dial = DialPeers(syncthing, lambda: CONFIG, lambda: {"hamburg": link})  # type: ignore[arg-type]
    await dial()
    link, syncthing.is_down = BACK, True
    with pytest.raises(SyncthingError):
        await dial()
    syncthing.is_down = False

    await dial()

    assert syncthing.told == [("pause", "H"), ("resume", "H")]
