"""`multiserver prepare` on new volumes, again, after a kill, and on volumes that it must not touch."""

import os
import shutil
import signal
import subprocess

import pytest

from multiserver.identity.certificates import make_syncthing
from tests.prepare.conftest import StartPrepare
from tests.sites import SiteTree, eventually, full_volume


def succeeded(process: subprocess.Popen[str]) -> str:
    """Wait for the end and give what was printed."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def refused(process: subprocess.Popen[str]) -> str:
    """Wait for the end and give the reason that was printed."""
    _, errors = process.communicate()
    assert process.returncode == 1
    return errors


def control_data(tree: SiteTree) -> dict[str, str]:
    """Give what PostgreSQL itself says of the database on the volume."""
    tree.hand_over()
    lines = tree.run(["pg_controldata", str(tree.paths.pgdata)]).splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def test_a_new_volume_gets_a_database_and_a_second_run_keeps_all_as_it_is(
    tree: SiteTree, start_prepare: StartPrepare
) -> None:
    assert f"new database made in {tree.paths.pgdata}" in succeeded(start_prepare())
    first = control_data(tree)
    assert first["Data page checksum version"] == "1"
    files = {path: path.read_bytes() for path in tree.paths.syncthing_home.iterdir()}
    assert {path.name for path in files} == {"api-key", "cert.pem", "config.xml", "key.pem"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}

    assert f"database of PostgreSQL {tree.rootfs.major} found" in succeeded(start_prepare())
    assert control_data(tree)["Database system identifier"] == first["Database system identifier"]
    assert {path: path.read_bytes() for path in tree.paths.syncthing_home.iterdir()} == files


def test_a_lock_file_that_is_empty_after_a_power_failure_keeps_no_server_from_starting(
    tree: SiteTree, start_prepare: StartPrepare
) -> None:
    succeeded(start_prepare())
    lock = tree.paths.pgdata / "postmaster.pid"
    lock.touch()
    succeeded(start_prepare())
    assert not lock.exists()

    lock.write_text("4711\n")  # PostgreSQL itself finds out whether that process is a server.
    succeeded(start_prepare())
    assert lock.read_text() == "4711\n"


@pytest.mark.parametrize("moment", ["pgdata.unfinished", "pgdata.unfinished/global/pg_control", "pgdata"])
def test_a_kill_at_any_moment_is_made_good_by_the_next_run(
    tree: SiteTree, start_prepare: StartPrepare, moment: str
) -> None:
    process = start_prepare()
    eventually((tree.paths.data / moment).exists, f"{moment} is there")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    succeeded(start_prepare())
    assert control_data(tree)["Database cluster state"] == "shut down"
    assert [path.name for path in tree.paths.data.iterdir()] == ["pgdata"]


def test_a_database_of_another_major_version_is_left_alone(tree: SiteTree, start_prepare: StartPrepare) -> None:
    tree.paths.pgdata.mkdir()
    version = tree.paths.pgdata / "PG_VERSION"
    version.write_text("17\n")
    reason = refused(start_prepare())
    has = tree.rootfs.major
    assert f"was made by PostgreSQL 17, this image has PostgreSQL {has}: use an image with PostgreSQL 17" in reason
    assert list(tree.paths.pgdata.iterdir()) == [version]


def test_what_is_no_database_is_left_alone(tree: SiteTree, start_prepare: StartPrepare) -> None:
    tree.paths.pgdata.mkdir()
    (tree.paths.pgdata / "letter.txt").write_text("not a database")
    assert "is not empty and yet no PostgreSQL database" in refused(start_prepare())
    assert (tree.paths.pgdata / "letter.txt").read_text() == "not a database"


def test_a_full_volume_is_named_with_the_way_out(tree: SiteTree, start_prepare: StartPrepare) -> None:
    with full_volume(tree.paths.data):
        reason = refused(start_prepare())
    assert f"{tree.paths.data} cannot be written (No space left on device): the volume is full: enlarge" in reason


def test_a_full_repository_keeps_no_site_down(tree: SiteTree, start_prepare: StartPrepare) -> None:
    shutil.rmtree(tree.paths.repository)
    tree.paths.repository.write_text("in the way, as a broken mount would be")
    process = start_prepare()
    _, warnings = process.communicate()
    assert process.returncode == 0
    assert warnings.startswith(f"Warning: {tree.paths.pgbackrest_repository} cannot be written")


def test_the_keys_of_another_site_are_refused(tree: SiteTree, start_prepare: StartPrepare) -> None:
    (tree.paths.identity / "syncthing.crt").write_text(make_syncthing().certificate_pem)
    assert "the Secret of another site is mounted" in refused(start_prepare())
    assert not (tree.paths.syncthing_home / "cert.pem").exists()
