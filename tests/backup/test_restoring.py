"""Restoring by hand: the commands of docs/backups.md, on repositories that the product has made."""

import asyncio
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from multiserver.backup.archive import QUERY, STARTS_MAX, ArchiverRow, judge
from tests.agent.sites import Mesh, Site, running
from tests.agent.waiting import wait_until
from tests.backup.pods import EXAMPLE_MOMENT, PAGE, Pod, commands, documented, pods
from tests.postgres.mesh import make_engine_template
from tests.rootfs import Rootfs
from tests.sites import eventually

ROWS = 1000
MAKE_ROWS = f"""
set role app;
create table patient (id serial primary key, name text not null default 'before');
insert into patient select from generate_series(1, {ROWS});
"""

Run = Callable[..., tuple[Mesh, Pod]]


@pytest.fixture(scope="module")
def template(rootfs: Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_engine_template(rootfs, tmp_path_factory.mktemp("restoring") / "template")


@pytest.fixture
def run(rootfs: Rootfs, template: Path) -> Iterator[Run]:
    """Run sites; gives them, and the pod of the first, which has rows and a backup of them."""
    with ExitStack() as stack:

        def start(*names: str) -> tuple[Mesh, Pod]:
            mesh, pod = stack.enter_context(pods(names, rootfs, template))
            pod.site.sql(MAKE_ROWS)
            for site in mesh.sites:
                eventually(lambda site=site: count(site) == ROWS, f"{site.name} has the rows")
            pod.back_up()
            eventually(
                lambda: datetime.now(UTC) >= ended(pod) + timedelta(seconds=1), "it is later by pgBackRest's seconds"
            )
            return mesh, pod

        yield start


def ended(pod: Pod) -> datetime:
    """Give when the newest backup ended, in whole seconds."""
    moment = asyncio.run(pod.pgbackrest.report()).last_success
    assert moment
    return moment


def count(site: Site) -> int | None:
    if site.sql("select to_regclass('patient')") == [(None,)]:
        return None
    return int(site.sql("select count(*) from patient")[0][0])


def archived_moment(site: Site) -> str:
    """Give a moment up to which everything is in the repository."""
    moment = str(site.sql("select clock_timestamp()")[0][0])
    site.sql("select pg_logical_emit_message(true, 'test', 'x')")  # Recovery must find something that is later.
    [(segment,)] = site.sql("select pg_walfile_name(pg_switch_wal())")
    eventually(
        lambda: site.sql("select last_archived_wal >= %s from pg_stat_archiver", [segment]) == [(True,)], segment
    )
    return moment


def fails(site: Site) -> bool:
    """Whether a segment waits that could not be archived, however new the server is."""
    row = ArchiverRow(*site.sql(QUERY.replace("%", "%%"))[0])
    return judge(replace(row, asked_at=row.asked_at + STARTS_MAX)).failing_since is not None


def system_id(site: Site) -> int:
    return int(site.sql("select system_identifier from pg_control_system()")[0][0])


def to_moment(words: list[str], moment: str) -> list[str]:
    """Give what the page says to add to the command that restores, for a moment in time; nothing for another one."""
    options = f"--type=time --target='{EXAMPLE_MOMENT}' --target-action=promote"
    assert options in " ".join(PAGE.read_text().split())
    return shlex.split(options.replace(EXAMPLE_MOMENT, moment)) if "restore" in words else []


def newest_backup(pod: Pod) -> str:
    label = asyncio.run(pod.pgbackrest.report()).last_label
    assert label
    return label


async def is_found_to_be_put_back(pod: Pod, *sites: Site) -> None:
    async with running(*sites):
        await wait_until(pod.tree.paths.rewound.exists, "it is marked")


def test_rows_come_back_from_a_copy_that_leaves_the_repository_and_the_peers_alone(run: Run) -> None:
    mesh, pod = run("berlin", "hamburg")
    moment = archived_moment(pod.site)
    pod.site.sql("delete from patient where id < 10; update patient set name = 'after' where id = 10")
    archived_moment(pod.site)
    with pod.configuration.open("a") as settings:
        settings.write("max_connections = 90\n")  # Lowered since the backup; the copy reads it.

    restore, put_back, remove = (commands(block) for block in documented("Rows", moment=moment))
    pod.follow(restore)
    assert f"{ROWS}\n".encode() in pod.follow(put_back)
    for site in mesh.sites:
        eventually(lambda site=site: count(site) == ROWS, f"{site.name} has the rows again")
        assert site.sql("select name from patient where id = 10") == [("after",)], "what is there stays as it is"
    log = (pod.folder / "restored.log").read_bytes()
    assert b"archive recovery complete" in log
    assert b"apply worker" not in log
    assert b"archive-push" not in log
    pod.follow(remove)
    assert not list(pod.folder.iterdir())


@pytest.mark.parametrize("lost", ["the volume", "a table"])
def test_the_only_site_is_restored_in_place_and_goes_on(run: Run, lost: str) -> None:
    _, pod = run("berlin")
    site = pod.site
    known, label = system_id(site), newest_backup(pod)
    new_volume, look, restore, remove = (
        commands(block) for block in documented("The data of the only site", label=label)
    )
    moment = archived_moment(site)
    if lost == "the volume":
        pod.follow(new_volume)
        with psycopg.connect(site.target("postgres").conninfo()) as connection:
            assert not connection.execute("select from pg_database where datname = 'app'").fetchall(), "it is empty"
        pod.back_up()  # By the schedule, of the empty database: it is the newest then.
        assert b"db (prior)" in pod.follow(look).split(label.encode())[0]
    else:
        site.sql("drop table patient")
        archived_moment(site)
        restore = [[word for word in words if label not in word] + to_moment(words, moment) for words in restore]

    pod.follow(restore)

    assert count(site) == ROWS
    assert system_id(site) == known
    assert site.sql("select opened_at is not null from multiserver.site_settings") == [(True,)]
    site.sql("set role app; insert into patient default values")
    assert site.sql("select max(id) from patient") >= [(ROWS + 1,)]
    archived_moment(site)
    assert not fails(site)
    assert newest_backup(pod) != pod.back_up()
    pod.follow(remove)
    assert [path.name for path in pod.tree.paths.data.iterdir()] == ["pgdata"]


def test_a_site_with_peers_that_is_restored_in_place_is_found_to_be_put_back(run: Run) -> None:
    mesh, pod = run("berlin", "hamburg")
    later = archived_moment(pod.site)
    pod.site.sql("select multiserver.beat()")
    beat = "select 1 from multiserver.heartbeats where sent_at >= %s"
    eventually(lambda: mesh["hamburg"].sql(beat, [later]), "hamburg knows what will be lost")
    *_, restore, _ = (commands(block) for block in documented("The data of the only site", label=newest_backup(pod)))
    pod.follow(restore)
    assert count(pod.site) == ROWS
    asyncio.run(is_found_to_be_put_back(pod, *mesh.sites))
    assert pod.site.sql("select how from multiserver.broken_history") == [("rewound",)]


def test_the_data_are_read_elsewhere_from_the_repository_and_the_passphrase_alone(run: Run) -> None:
    _, pod = run("berlin", "hamburg")
    archived_moment(pod.site)
    copy, read = documented("Elsewhere")
    (pod.folder / "repository.tar").write_bytes(pod.follow(commands(copy)))
    (pod.folder / "passphrase").write_text(pod.tree.paths.passphrase.read_text())
    pod.tree.hand_over()
    pod.site.stop()
    ready = "pg_isready --host=/tmp/elsewhere"
    assert ready in read
    patiently = read.replace(ready, f"until {ready}; do sleep 0.2; done")
    said = pod.tree.run(["sh", "-euc", pod.here(f"cd /tmp; {patiently} pg_ctl stop --pgdata=/tmp/elsewhere/data")])
    assert f"{ROWS}\n" in said


def test_files_come_back_beside_or_in_place(run: Run) -> None:
    _, pod = run("berlin")
    folder = pod.tree.paths.folders / "documents"
    for name in ("report.pdf", "letter.txt"):
        (folder / name).write_text("before")
    pod.tree.hand_over()
    asyncio.run(pod.restic.back_up(lambda words: None))
    (folder / "report.pdf").unlink()
    (folder / "letter.txt").write_text("after")
    (folder / "new.txt").write_text("new")
    beside, in_place = (commands(block) for block in documented("Files"))

    pod.follow(beside)
    restored = [path.name for path in (pod.folder / "restored-files").rglob("*") if path.is_file()]
    assert restored == ["report.pdf"]
    assert not (folder / "report.pdf").exists()

    pod.follow(in_place)
    contents = {path.name: path.read_text() for path in folder.iterdir() if path.suffix}
    assert contents == {"report.pdf": "before", "letter.txt": "before", "new.txt": "new"}


def test_a_new_repository_is_begun_beside_the_one_that_takes_no_backup_any_more(run: Run) -> None:
    _, pod = run("berlin")
    before = newest_backup(pod)
    pod.follow(command for block in documented("When the clock was wrong") for command in commands(block))
    assert newest_backup(pod) > before
    assert asyncio.run(pod.pgbackrest.report()).count == 1
    archived_moment(pod.site)
    assert not fails(pod.site)
