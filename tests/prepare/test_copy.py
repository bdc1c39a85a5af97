"""`multiserver prepare` of a site that joins: its database is a copy of a donor's, and a site of its own."""

import os
import signal
from collections.abc import Iterator

import pytest

from multiserver.prepare.control_file import crc32c
from tests.agent.sites import Mesh, Site, mesh_of
from tests.postgres.mesh import make_engine_template
from tests.prepare.conftest import StartPrepare
from tests.prepare.test_prepare import control_data, refused, succeeded
from tests.rootfs import Rootfs
from tests.sites import SiteTree, eventually, site_tree

ROWS = 20_000


@pytest.fixture(scope="module")
def mesh(rootfs: Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two sites with rows that have replicated, berlin and hamburg."""
    template = make_engine_template(rootfs, tmp_path_factory.mktemp("donors") / "template")
    with mesh_of(("berlin", "hamburg"), rootfs, template) as made:
        berlin, hamburg = made.sites
        berlin.sql("set role app; create table visits (id bigserial primary key, words text)")
        berlin.sql(f"insert into visits (words) select repeat('x', 100) from generate_series(1, {ROWS})")
        eventually(lambda: hamburg.sql("select to_regclass('visits')") != [(None,)], "the table arrived")
        eventually(lambda: hamburg.sql("select count(*) from visits") == [(ROWS,)], "the rows arrived")
        yield made


@pytest.fixture
def tree(rootfs: Rootfs) -> Iterator[SiteTree]:
    with site_tree("leipzig", rootfs) as made:
        yield made


def started(site: Site) -> Site:
    site.tree.hand_over()
    site.start()
    return site


def test_a_copy_has_all_rows_and_nothing_that_makes_it_its_donor(
    mesh: Mesh, leipzig: Site, start_prepare: StartPrepare
) -> None:
    printed = succeeded(start_prepare())
    assert "copying the database of berlin" in printed
    assert "100 % of" in printed and "copied from berlin" in printed
    assert f"copy of the database of berlin made in {leipzig.tree.paths.pgdata}" in printed
    assert [path.name for path in leipzig.tree.paths.data.iterdir()] == ["pgdata"]
    berlin = mesh["berlin"]
    control = control_data(leipzig.tree)
    assert control["Database cluster state"] == "shut down"
    assert control["Database system identifier"] != control_data(berlin.tree)["Database system identifier"]

    started(leipzig)
    assert leipzig.sql("select count(*) from visits") == [(ROWS,)]
    registers = "select count(*), sum(version) from multiserver.register_1"
    assert leipzig.sql(registers) == berlin.sql(registers)
    for left in ("pg_subscription", "pg_replication_origin", "pg_replication_slots"):
        assert leipzig.sql(f"select count(*) from {left}") == [(0,)]
    for left in ("site_settings", "links", "slots", "heartbeats", "number_ranges"):
        assert leipzig.sql(f"select count(*) from multiserver.{left}") == [(0,)]
    assert leipzig.sql("select how, donor_number from multiserver.broken_history") == [("copied", 1)]
    assert leipzig.sql("select rolcanlogin from pg_roles where rolname = 'app'") == [(False,)]
    # The donor noticed nothing: it goes on as it was.
    assert berlin.sql("select count(*) from pg_replication_slots") == [(1,)]
    assert berlin.sql("select opened_at is not null from multiserver.site_settings") == [(True,)]

    leipzig.stop()
    assert f"database of PostgreSQL {leipzig.tree.rootfs.major} found" in succeeded(start_prepare())


def test_the_next_donor_is_taken_where_the_first_does_not_answer(leipzig: Site, start_prepare: StartPrepare) -> None:
    leipzig.lines["berlin"].cut()
    assert f"copy of the database of hamburg made in {leipzig.tree.paths.pgdata}" in succeeded(start_prepare())


def test_without_any_donor_nothing_is_made_and_each_reason_is_told(leipzig: Site, start_prepare: StartPrepare) -> None:
    for line in leipzig.lines.values():
        line.cut()
    reason = refused(start_prepare())
    assert "site leipzig has no database yet and none of its peers can be copied now" in reason
    assert "berlin does not answer" in reason and "hamburg does not answer" in reason
    assert list(leipzig.tree.paths.data.iterdir()) == []


def test_a_donor_that_is_closed_itself_is_not_copied(mesh: Mesh, leipzig: Site, start_prepare: StartPrepare) -> None:
    berlin = mesh["berlin"]
    berlin.sql("select multiserver.close_site()")
    try:
        assert "copy of the database of hamburg made" in succeeded(start_prepare())
    finally:
        berlin.sql("select multiserver.open_site()")


def test_a_donor_with_tablespaces_is_refused(mesh: Mesh, leipzig: Site, start_prepare: StartPrepare) -> None:
    berlin = mesh["berlin"]
    folder = berlin.tree.paths.data / "elsewhere"
    folder.mkdir()
    berlin.tree.hand_over()
    berlin.sql(f"create tablespace elsewhere location '{folder}'")
    leipzig.lines["hamburg"].cut()
    try:
        assert "berlin has tablespaces (elsewhere), which would lie outside the volume" in refused(start_prepare())
    finally:
        berlin.sql("drop tablespace elsewhere")


@pytest.mark.parametrize("moment", ["pgdata.unfinished/base", "pgdata.unfinished/postmaster.pid", "pgdata"])
def test_a_copy_that_was_killed_is_made_anew(leipzig: Site, start_prepare: StartPrepare, moment: str) -> None:
    process = start_prepare()
    eventually((leipzig.tree.paths.data / moment).exists, f"{moment} is there")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert leipzig.tree.paths.pgdata.exists() == (moment == "pgdata")
    succeeded(start_prepare())
    assert control_data(leipzig.tree)["Database cluster state"] == "shut down"
    assert [path.name for path in leipzig.tree.paths.data.iterdir()] == ["pgdata"]
    assert started(leipzig).sql("select count(*) from visits") == [(ROWS,)]


def test_the_checksum_is_the_one_that_postgresql_uses() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C (RFC 3720, appendix B.4 uses the same code)
