"""A repository whose volume hangs: nothing else waits with it, and the report says what is wrong."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiserver.backup import repository
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
    monkeypatch.setattr(Path, "exists", lambda _: answer.wait(ANSWERS_SECONDS))
    monkeypatch.setattr("multiserver.backup.pgbackrest.write_problem", lambda _: str(answer.wait(ANSWERS_SECONDS)))
    yield SitePaths(tmp_path)
    answer.set()


async def test_the_report_says_so(hanging: SitePaths) -> None:
    report = await Restic("berlin", hanging).report()
    assert "the repository's volume gives no answer within 0.3 s" in report.message


async def test_a_backup_ends_with_that_sentence(hanging: SitePaths) -> None:
    with pytest.raises(repository.BackupError, match="no answer within"):
        await PgBackRest(hanging).back_up(lambda _: None)
