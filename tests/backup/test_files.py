"""Backups of a site's folders by a real restic."""

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from multiserver.api.report import BackupReport
from multiserver.backup.errors import BackupError
from multiserver.backup.restic import Restic
from tests.backup.processes import kill_when
from tests.rootfs import USER_ID
from tests.sites import SiteTree, full_volume

ENOUGH_TO_BE_KILLED_BYTES = 200_000_000


def quietly(progress: str) -> None:
    """Take progress and say nothing."""


@pytest.fixture
def documents(tree: SiteTree) -> Path:
    """The folder documents as Syncthing leaves it."""
    folder = tree.paths.folders / "documents"
    for path in (".stfolder/marker", ".stversions/old.txt", ".syncthing.half.tmp", "letter.txt", "images/x-ray.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    tree.hand_over()
    return folder


def listed(tree: SiteTree, *what: str) -> list[str]:
    """Ask restic itself."""
    repository = ["-r", str(tree.paths.restic_repository), "--password-file", str(tree.paths.passphrase), "--no-cache"]
    return tree.run(["restic", *repository, "--no-lock", "-q", *what]).splitlines()


def snapshots(tree: SiteTree) -> list[dict[str, Any]]:
    """Ask restic itself for all backups."""
    (line,) = listed(tree, "snapshots", "--json")
    found: list[dict[str, Any]] = json.loads(line)
    return found


async def test_before_the_first_backup_there_is_none_and_no_fault(restic: Restic) -> None:
    assert await restic.report() == BackupReport()


async def test_a_backup_holds_the_files_and_nothing_of_syncthings_own(
    tree: SiteTree, restic: Restic, documents: Path
) -> None:
    assert (await restic.back_up(quietly)).startswith("backup ")
    stored = {Path(line).relative_to(documents) for line in listed(tree, "ls", "latest") if f"{documents}/" in line}
    assert {str(path) for path in stored} == {".stignore", "letter.txt", "images", "images/x-ray.txt"}


async def test_the_repository_itself_is_reported(restic: Restic, documents: Path) -> None:
    for number in range(3):
        (documents / "later.txt").write_text(f"version {number}")
        await restic.back_up(quietly)
    report = await restic.report()
    assert report.last_success
    assert report.last_label
    assert (report.last_size_bytes or 0) > 0
    assert report.count == 2, "of the backups of one day the last is kept, and the oldest of all"
    assert report.message == ""


async def test_a_killed_backup_leaves_a_lock_that_blocks_no_later_one(
    tree: SiteTree, restic: Restic, documents: Path
) -> None:
    await restic.back_up(quietly)
    (documents / "big").write_bytes(secrets.token_bytes(ENOUGH_TO_BE_KILLED_BYTES))
    lock = tree.paths.restic_repository / "locks" / ("[0-9a-f]" * 64)  # under another name while it is written
    killed, _ = await asyncio.gather(restic.back_up(quietly), kill_when(lock, "restic", tree), return_exceptions=True)
    assert isinstance(killed, BackupError)
    assert listed(tree, "list", "locks"), "the killed restic left its lock"
    await restic.back_up(quietly)
    assert not listed(tree, "list", "locks")


async def test_a_half_made_repository_is_made_again(tree: SiteTree, restic: Restic, documents: Path) -> None:
    half = tree.paths.repository / "restic.unfinished" / "keys"
    half.mkdir(parents=True)
    (half / "of-another-repository").write_text("{}")
    tree.hand_over()
    await restic.back_up(quietly)
    assert (await restic.report()).count == 1
    assert not half.exists()


async def test_two_backups_at_once_are_refused(tree: SiteTree, restic: Restic, documents: Path) -> None:
    other = os.open(tree.paths.repository / "restic.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        with pytest.raises(BackupError, match="another backup of the files is still running"):
            await restic.back_up(quietly)
    finally:
        os.close(other)
    await restic.back_up(quietly)


@pytest.fixture
def unreadable(documents: Path) -> Path:
    """A file that the site's user may not read."""
    secret = documents / "of-root.txt"
    secret.write_text("nobody else")
    os.chown(secret, 0, 0)
    secret.chmod(0o600)
    return secret


async def test_files_that_cannot_be_read_make_the_backup_fail_by_name(restic: Restic, unreadable: Path) -> None:
    with pytest.raises(BackupError, match=r"incomplete: .*of-root\.txt.*permission denied"):
        await restic.back_up(quietly)


async def test_an_incomplete_backup_neither_passes_for_the_newest_nor_takes_the_place_of_a_complete_one(
    tree: SiteTree, restic: Restic, unreadable: Path
) -> None:
    os.chown(unreadable, USER_ID, USER_ID)
    for _ in range(2):  # Of the same day, so the first stays only since it is the oldest.
        await restic.back_up(quietly)
    complete = await restic.report()
    os.chown(unreadable, 0, 0)
    with pytest.raises(BackupError, match="incomplete"):
        await restic.back_up(quietly)
    assert await restic.report() == complete
    assert len(snapshots(tree)) == 3, "what could be read is kept as well"

    os.chown(unreadable, USER_ID, USER_ID)
    await restic.back_up(quietly)
    with_tag = [snapshot for snapshot in snapshots(tree) if "incomplete" in snapshot.get("tags", [])]
    assert (len(with_tag), (await restic.report()).count) == (1, 2)


async def test_a_backup_that_was_not_proved_complete_is_called_incomplete(
    tree: SiteTree, restic: Restic, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = restic.programs.run

    async def cut_off(argv: Sequence[str], **options: Any) -> str:
        """Run restic; the agent ends before it learns of the backup's result."""
        output = await run(argv, **options)
        if "backup" in argv:
            raise asyncio.CancelledError
        return output

    monkeypatch.setattr(type(restic.programs), "run", lambda _, argv, **options: cut_off(argv, **options))
    with pytest.raises(asyncio.CancelledError):
        await restic.back_up(quietly)
    assert [snapshot["tags"] for snapshot in snapshots(tree)] == [["incomplete"]]
    assert (await restic.report()).count == 0


async def test_a_wrong_passphrase_is_told_and_not_taken_for_empty(
    tree: SiteTree, restic: Restic, documents: Path
) -> None:
    await restic.back_up(quietly)
    tree.paths.passphrase.write_text("another")
    report = await restic.report()
    assert report.last_success is None
    assert "wrong password" in report.message


async def test_a_full_repository_is_named_with_the_way_out(tree: SiteTree, restic: Restic, documents: Path) -> None:
    with full_volume(tree.paths.repository), pytest.raises(BackupError, match="the volume is full: enlarge"):
        await restic.back_up(quietly)
