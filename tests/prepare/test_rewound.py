"""`multiserver prepare` of a site that was put back in time: its log begins anew, and its backups go on."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from multiserver.api import paths as pod
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.backup.process import Programs
from multiserver.replication.settings import required_settings
from tests.agent.sites import Mesh, Site, mesh_of
from tests.agent.test_rewinding import rewind
from tests.postgres.mesh import make_engine_template
from tests.prepare.conftest import StartPrepare
from tests.prepare.test_prepare import control_data, succeeded
from tests.rootfs import Rootfs
from tests.sites import SiteTree, eventually

LOG_BEGINS_ANEW = "it was put back in time, so its log begins anew under another system identifier"


@pytest.fixture
def mesh(rootfs: Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    template = make_engine_template(rootfs, tmp_path_factory.mktemp("rewound") / "template")
    with mesh_of(("berlin", "hamburg"), rootfs, template) as made:
        yield made


@pytest.fixture
def berlin(mesh: Mesh) -> Site:
    site = mesh["berlin"]
    settings = "".join(f"{name} = '{value}'\n" for name, value in required_settings().items())
    site.write(site.tree.paths.at(pod.POSTGRES_CONFIG), settings)
    return site


@pytest.fixture
def tree(berlin: Site) -> SiteTree:
    return berlin.tree


def make_repository(site: Site) -> None:
    asyncio.run(PgBackRest(site.tree.paths, Programs(wrap=site.tree.command)).ensure_stanza())


def is_archived(site: Site) -> bool:
    """Whether the newest segment of the log that is full has reached the repository; the archiver is waked."""
    site.sql("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
    state = "select last_archived_time > coalesce(last_failed_time, '-infinity') from pg_stat_archiver"
    return site.sql(state) == [(True,)]


def has_failed(site: Site) -> bool:
    site.sql("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
    return site.sql("select last_failed_time is not null from pg_stat_archiver") == [(True,)]


def has_gone(process_group: int) -> bool:
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return True
    return False


def mark_as_rewound(site: Site) -> None:
    """Do what the agent does when a peer knows a later state, and stop the server."""
    site.sql("select multiserver.renounce(multiserver.incarnation())")
    site.stop()
    site.tree.paths.rewound.touch()


def test_archiving_goes_on_that_had_failed_since_the_site_was_put_back(
    mesh: Mesh, berlin: Site, start_prepare: StartPrepare
) -> None:
    make_repository(berlin)
    eventually(lambda: is_archived(berlin), "the log is archived")
    rewind(berlin, mesh["hamburg"])
    berlin.sql("select pg_stat_reset_shared('archiver')")
    eventually(lambda: has_failed(berlin), "the repository has another log of that name already")
    assert berlin.sql("select count(*) from pg_replication_slots") == [(1,)]
    before = control_data(berlin.tree)["Database system identifier"]
    mark_as_rewound(berlin)

    assert LOG_BEGINS_ANEW in succeeded(start_prepare())

    control = control_data(berlin.tree)
    assert control["Database system identifier"] != before
    assert control["Database cluster state"] == "shut down"
    assert not berlin.tree.paths.rewound.exists()
    berlin.start()
    assert berlin.sql("select multiserver.log_must_begin_anew(), how from multiserver.broken_history") == [
        (False, "rewound")
    ]
    assert berlin.sql("select count(*) from pg_replication_slots") == [(0,)]
    assert berlin.sql("select count(*) from multiserver.slots") == [(0,)]
    berlin.sql("select pg_stat_reset_shared('archiver')")
    make_repository(berlin)
    eventually(lambda: is_archived(berlin), "the log is archived again")

    berlin.stop()
    assert LOG_BEGINS_ANEW not in succeeded(start_prepare())


@pytest.mark.parametrize("moment", ["the database recovers", "the identifier is noted"])
def test_a_kill_while_the_log_begins_anew_is_made_good_by_the_next_run(
    berlin: Site, start_prepare: StartPrepare, moment: str
) -> None:
    berlin.sql("set role app; create table visits as select generate_series(1, 1000) as id")
    mark_as_rewound(berlin)
    paths = berlin.tree.paths
    has_come = {
        "the database recovers": (paths.pgdata / "postmaster.pid").exists,
        "the identifier is noted": lambda: paths.rewound.exists() and paths.rewound.read_text(),
    }[moment]
    process = start_prepare()
    eventually(has_come, moment, pause_seconds=0.001)  # In memory the database recovers in a few milliseconds.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    eventually(lambda: has_gone(process.pid), "nothing of the killed run is left")
    noted = paths.rewound.read_text().strip()

    assert LOG_BEGINS_ANEW in succeeded(start_prepare())

    assert noted in ("", control_data(berlin.tree)["Database system identifier"])
    assert not paths.rewound.exists()
    berlin.start()
    assert berlin.sql("select count(*) from visits") == [(1000,)]
