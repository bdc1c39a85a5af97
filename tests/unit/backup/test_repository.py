"""A repository whose volume hangs: nothing else waits with it, and the report says what is wrong."""

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from multiserver.backup import process, repository
from multiserver.backup.errors import BackupError
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.backup.restic import Restic
from multiserver.settings import SitePaths

ANSWERS_SECONDS = 10
"""If the event loop waited for the volume, no deadline could end that before."""


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SitePaths]:
    """A site's paths, as long as no question to its repository is answered."""
    answer = threading.Event()
    monkeypatch.setattr(repository, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: answer.wait(ANSWERS_SECONDS))
    monkeypatch.setattr("multiserver.backup.pgbackrest.write_problem", lambda _: str(answer.wait(ANSWERS_SECONDS)))
    yield SitePaths(tmp_path)
    answer.set()


async def test_the_report_says_so(hanging: SitePaths) -> None:
    report = await Restic("berlin", hanging).report()
    assert "the repository's volume gives no answer within 0.3 s" in report.message


async def test_a_backup_ends_with_that_sentence(hanging: SitePaths) -> None:
    with pytest.raises(repository.BackupError, match="no answer within"):
        await PgBackRest(hanging).back_up(lambda _: None)


async def test_a_repository_of_the_files_that_cannot_be_looked_into_is_not_taken_for_empty(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    paths.repository.mkdir(parents=True)
    paths.restic_repository.write_text("a file where a folder should be")
    report = await Restic("berlin", paths).report()
    assert report.message == f"{paths.restic_repository / 'config'} cannot be read (Not a directory)"


async def test_a_repository_on_a_broken_disk_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(path: Path, **_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "stat", fail)
    report = await Restic("berlin", SitePaths(tmp_path)).report()
    assert report.message.endswith(
        "config cannot be read (Input/output error): the disk cannot be read or written: replace it"
    )


class Programs(process.Programs):
    """restic that does all it is asked to, at once."""

    async def run(self, argv: Sequence[str], **_: Any) -> str:
        return '{"snapshot_id": "1"}' if "backup" in argv else "[]"


@pytest.mark.parametrize("call", ["fcntl.flock", "shutil.rmtree", "pathlib.Path.rename"])
async def test_a_backup_of_the_files_waits_for_no_call_to_the_volume_in_the_event_loop(
    call: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths, answer = SitePaths(tmp_path), threading.Event()
    paths.repository.mkdir(parents=True)
    monkeypatch.setattr(repository, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(call, lambda *_, **__: answer.wait(ANSWERS_SECONDS))
    try:
        with pytest.raises(BackupError, match="the repository's volume gives no answer"):
            await Restic("berlin", paths, Programs()).back_up(lambda _: None)
    finally:
        answer.set()


async def test_a_lock_that_comes_too_late_is_given_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else no backup could be made until the agent starts again."""
    paths, answer, flock = SitePaths(tmp_path), threading.Event(), fcntl.flock
    paths.repository.mkdir(parents=True)

    def late(*arguments: Any) -> None:
        answer.wait(ANSWERS_SECONDS)
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    monkeypatch.setattr(repository, "ANSWER_SECONDS", 0.3)
    restic = Restic("berlin", paths, Programs())
    with pytest.raises(BackupError, match="no answer"):
        await restic.back_up(lambda _: None)
    answer.set()
    monkeypatch.setattr(repository, "ANSWER_SECONDS", 5)
    async with asyncio.timeout(5):
        while not await is_free(restic):
            pass


async def is_free(restic: Restic) -> bool:
    """Whether our lock can be taken."""
    try:
        async with restic._held():
            return True
    except BackupError:
        return False
