"""What the looks make of what they find; a volume that hangs must neither hold them up nor make the rest unknown."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from multiserver.agent import looking
from multiserver.agent.backups import BackupRuns, Report
from multiserver.agent.last_runs import LastRuns
from multiserver.agent.looking import LookAtBackups, LookAtDatabase, LookAtMachine
from multiserver.agent.seen import Sightings
from multiserver.api.report import BackupReport, VolumeReport
from multiserver.backup.archive import STARTS_MAX
from multiserver.settings import SitePaths
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
                "started_at": NOON - STARTS_MAX,
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
    assert "/repository gives no answer within 0.2 s" in looked.result().message


async def test_one_volume_that_hangs_leaves_the_others_and_the_disk_arrays_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    over = threading.Event()

    def read(name: str, _path: Path) -> VolumeReport:
        if name == "repository":
            over.wait(5)
        return VolumeReport(name=name, capacity_bytes=2, free_bytes=1)

    monkeypatch.setattr(looking, "read_volume", read)
    monkeypatch.setattr(looking, "raid_sentence", lambda: "OK: no RAID present")
    monkeypatch.setattr(looking, "VOLUME_SECONDS", 0.1)
    seen = Sightings()
    look = LookAtMachine(SitePaths(tmp_path), seen)
    try:
        for _ in range(5):
            with pytest.raises(TimeoutError, match="volume repository gives no answer"):
                await look()
    finally:
        over.set()
    assert seen.machine
    assert seen.machine.value
    assert [volume.name for volume in seen.machine.value.volumes] == ["data", "files"]
    assert seen.machine.value.raid == "OK: no RAID present"


class Repository:
    """A repository that lists a backup, dated as its newest is; none can be made any more."""

    def __init__(self, newest: datetime) -> None:
        self.newest = newest

    async def report(self) -> BackupReport:
        return BackupReport(last_success=self.newest, count=1)

    async def back_up(self, report: Report) -> str:
        raise OSError("the volume is full")


def look_at(repository: Repository, kept: Path) -> tuple[LookAtBackups, BackupRuns]:
    """Give the look of a new agent at a site whose data has this repository."""
    well = Repository(NOON)
    runs = BackupRuns({"data": repository.back_up, "files": well.back_up}, lambda: None, LastRuns(kept))
    return LookAtBackups(repository, well, runs, Sightings()), runs  # type: ignore[arg-type]


@pytest.mark.parametrize("newest", [NOON, datetime.now(UTC) + timedelta(minutes=4)], ids=["earlier", "a little ahead"])
async def test_a_failed_backup_is_told_after_a_restart_of_the_agent(tmp_path: Path, newest: datetime) -> None:
    repository, kept = Repository(newest), tmp_path / "last-backups.json"
    _, runs = look_at(repository, kept)
    await runs.finished(runs.start("data").id)
    look, _ = look_at(repository, kept)
    await look()
    assert look._seen.backups
    assert look._seen.backups.value
    data, files = look._seen.backups.value.data, look._seen.backups.value.files
    assert (data.message, data.last_success) == ("the volume is full", newest)
    assert data.last_failure
    assert files == BackupReport(last_success=NOON, count=1)
