"""Backups of a real PostgreSQL by a real pgBackRest."""

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from multiserver.api.report import BackupReport
from multiserver.backup import catalogue
from multiserver.backup.archive import STARTS_MAX, WAITS_MAX, ArchiverRow, judge
from multiserver.backup.errors import BackupError
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.machine.volumes import write_problem
from tests.backup.conftest import Server
from tests.backup.processes import kill_when
from tests.sites import eventually, full_volume


def quietly(progress: str) -> None:
    """Take progress and say nothing."""


async def test_before_the_first_backup_there_is_none_and_no_fault(server: Server, pgbackrest: PgBackRest) -> None:
    assert await pgbackrest.report() == BackupReport()
    await pgbackrest.ensure_stanza()
    assert await pgbackrest.report() == BackupReport()


async def test_a_full_backup_then_incremental_ones(server: Server, pgbackrest: PgBackRest) -> None:
    progress: list[str] = []
    result = await pgbackrest.back_up(progress.append)
    assert result.startswith("full backup ")
    assert progress[0] == "checking the repository and archiving"
    assert progress[-1] == "full backup at 100 %"

    server.sql("create table patient (id int primary key); insert into patient select generate_series(1, 1000)")
    assert (await pgbackrest.back_up(quietly)).startswith("incr backup ")

    report = await pgbackrest.report()
    assert report.count == 2
    assert report.message == ""
    assert report.last_label
    assert report.last_label.endswith("I")
    assert report.last_success
    assert datetime.now(UTC) - report.last_success < timedelta(minutes=1)
    assert (report.last_size_bytes or 0) > 1_000_000


def damage(server: Server, table: str) -> None:
    """Break a page of a table on the disk."""
    server.sql("checkpoint")
    with (server.tree.paths.pgdata / server.sql(f"select pg_relation_filepath('{table}')")).open("r+b") as file:
        file.seek(8000)
        file.write(b"broken")


@pytest.fixture
def one_year_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every backup be older than the recovery window by the clock."""
    monkeypatch.setattr(catalogue, "RECOVERY_WINDOW", timedelta(days=-365))


@pytest.mark.usefixtures("one_year_ahead")
async def test_so_many_full_backups_stay_however_old_they_seem(
    server: Server, pgbackrest: PgBackRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "FULL_KEPT_MIN", 2)
    for _ in range(3):
        await pgbackrest.back_up(quietly, "full")
    assert (await pgbackrest.report()).count == 2


@pytest.mark.usefixtures("one_year_ahead")
async def test_a_backup_with_broken_pages_fails_and_no_backup_before_it_expires_until_one_is_sound(
    server: Server, pgbackrest: PgBackRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "FULL_KEPT_MIN", 1)
    server.sql("create table patient as select generate_series(1, 1000) as id")
    await pgbackrest.back_up(quietly)
    sound = await pgbackrest.report()
    damage(server, "patient")
    for kind in ("full", "incr"):
        with pytest.raises(BackupError, match=r"backup \S+ holds pages with wrong checksums: the database is damaged"):
            await pgbackrest.back_up(quietly, kind)
    report = await pgbackrest.report()
    assert (report.last_success, report.count) == (sound.last_success, 3)
    assert "the database is damaged" in report.damage

    server.sql("drop table patient")
    await pgbackrest.back_up(quietly, "full")
    mended = await pgbackrest.report()
    assert (mended.damage, mended.count) == ("", 1)


async def test_archived_log_is_reported_as_archived(server: Server, pgbackrest: PgBackRest) -> None:
    await pgbackrest.ensure_stanza()
    server.sql("select pg_switch_wal()")
    eventually(lambda: archiver(server).last_archived_time, "a segment is archived")
    report = judge(archiver(server))
    assert report.failing_since is None
    assert report.last_archived


@pytest.mark.parametrize(
    ("fate", "log"),
    [("sleep 600", ""), ("kill -KILL $$", "archive command was terminated by signal 9")],
    ids=["hangs", "is killed"],
)
async def test_archiving_that_hangs_or_is_killed_is_told_although_postgresql_counts_no_failure(
    server: Server, fate: str, log: str
) -> None:
    began = server.tree.paths.run / "began"
    server.stop()
    server.settings["archive_command"] = f"touch {began}; {fate}"
    server.start()
    server.sql("select pg_switch_wal()")
    eventually(began.exists, "the command was started")
    eventually(lambda: log in (server.tree.paths.root / "log").read_text(), "the command met its fate")
    row = archiver(server)
    assert (row.last_archived_wal, row.last_failed_wal) == (None, None)
    assert judge(row).failing_since is None, "it has not waited for long"
    report = judge(replace(row, asked_at=row.asked_at + WAITS_MAX))
    assert report.failing_since == row.waiting_since
    assert report.message.startswith(f"write-ahead log {row.waiting_wal}: it waits, and PostgreSQL counts no failure")


async def test_a_full_repository_is_named_as_the_cause(server: Server, pgbackrest: PgBackRest) -> None:
    repository = server.tree.paths.repository
    with full_volume(repository):
        server.stop()  # Its programs see a mount only if they start after it.
        server.start()
        server.sql("select pg_switch_wal()")
        eventually(lambda: archiver(server).last_failed_time, "archiving fails")
        row = archiver(server)
        assert judge(row).failing_since is None, "the server has just started, and its repository may be in the making"
        report = judge(replace(row, asked_at=row.asked_at + STARTS_MAX), lambda: write_problem(repository))
        with pytest.raises(BackupError, match=r"repository cannot be written .* the volume is full: enlarge"):
            await pgbackrest.back_up(quietly)
    assert report.failing_since
    assert "No space left on device" in report.message


async def test_a_repository_that_cannot_be_read_is_told_and_not_taken_for_empty(
    server: Server, pgbackrest: PgBackRest
) -> None:
    await pgbackrest.back_up(quietly)
    info = server.tree.paths.pgbackrest_repository / "backup/site/backup.info"
    for file in (info, info.with_name("backup.info.copy")):
        file.write_text("damaged")
    report = await pgbackrest.report()
    assert report.last_success is None
    assert "unable to load info file" in report.message


async def test_a_wrong_passphrase_is_told(server: Server, pgbackrest: PgBackRest) -> None:
    await pgbackrest.back_up(quietly)
    secrets = server.tree.paths.pgbackrest_secrets / "passphrase.conf"
    secrets.write_text("[global]\nrepo1-cipher-pass=another\n")
    assert "the passphrase is not the one that the repository was made with" in (await pgbackrest.report()).message


async def test_a_killed_backup_blocks_no_later_one(server: Server, pgbackrest: PgBackRest) -> None:
    await pgbackrest.ensure_stanza()
    first_file = server.tree.paths.pgbackrest_repository / "backup/site/*F"
    killed, _ = await asyncio.gather(
        pgbackrest.back_up(quietly), kill_when(first_file, "pgbackrest", server.tree), return_exceptions=True
    )
    assert isinstance(killed, BackupError)
    assert (await pgbackrest.report()).count == 0
    assert (await pgbackrest.back_up(quietly)).startswith("full backup ")
    assert (await pgbackrest.report()).count == 1


async def test_a_cancelled_backup_ends_its_programs(server: Server, pgbackrest: PgBackRest) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(pgbackrest.back_up(lambda words: begun.set() if "backup at" in words else None))
    async with asyncio.timeout(60):
        await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await pgbackrest.back_up(quietly)).startswith("full backup ")


async def test_a_database_made_anew_goes_on_in_the_same_repository(server: Server, pgbackrest: PgBackRest) -> None:
    await pgbackrest.back_up(quietly)
    server.stop()
    shutil.rmtree(server.tree.paths.pgdata)
    server.start()
    await pgbackrest.back_up(quietly)
    assert (await pgbackrest.report()).count == 2


async def test_a_stopped_database_is_told_in_pgbackrests_words(pgbackrest: PgBackRest) -> None:
    with pytest.raises(BackupError, match=r"stanza-create: \[056\]: unable to find primary.* failed: No such file"):
        await pgbackrest.ensure_stanza()


def archiver(server: Server) -> ArchiverRow:
    """Read the archiver's row, which psql gives as text."""
    archived, archived_time, failed, failed_time, waiting, since, started, asked = server.archiver()
    assert started
    assert asked
    return ArchiverRow(
        archived or None,
        moment(archived_time),
        failed or None,
        moment(failed_time),
        waiting or None,
        moment(since),
        datetime.fromisoformat(started),
        datetime.fromisoformat(asked),
    )


def moment(text: str) -> datetime | None:
    """Read a time as psql prints it."""
    return datetime.fromisoformat(text) if text else None
