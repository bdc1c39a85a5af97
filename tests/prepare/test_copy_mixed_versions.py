"""A site is copied from a donor whose PostgreSQL has its own major version, whichever other donors there are."""

from collections.abc import Iterator

import pytest

from tests.agent.sites import Mesh, Site, mesh_of
from tests.postgres.mesh import make_engine_template
from tests.prepare.conftest import StartPrepare
from tests.prepare.test_copy import started
from tests.prepare.test_prepare import control_data, refused, succeeded
from tests.rootfs import IMAGE_MAJOR, NEWER_MAJOR, ensure
from tests.sites import SiteTree, eventually, site_tree


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two sites: berlin with the older version, hamburg with the newer."""
    folder = tmp_path_factory.mktemp("donors")
    older, newer = (
        (ensure(major), make_engine_template(ensure(major), folder / str(major)))
        for major in (IMAGE_MAJOR, NEWER_MAJOR)
    )
    with mesh_of(("berlin", "hamburg"), *older, {"hamburg": newer}) as made:
        berlin, hamburg = made.sites
        berlin.sql("set role app; create table visits (id bigserial primary key, words text)")
        berlin.sql("insert into visits (words) select 'x' from generate_series(1, 1000)")
        eventually(lambda: hamburg.sql("select to_regclass('visits')") != [(None,)], "the table arrived")
        eventually(lambda: hamburg.sql("select count(*) from visits") == [(1000,)], "the rows arrived")
        yield made


@pytest.fixture
def tree() -> Iterator[SiteTree]:
    with site_tree("leipzig", ensure(NEWER_MAJOR)) as made:
        yield made


def test_the_donor_with_the_same_version_is_copied_although_another_comes_first(
    mesh: Mesh, leipzig: Site, start_prepare: StartPrepare
) -> None:
    assert f"copy of the database of hamburg made in {leipzig.tree.paths.pgdata}" in succeeded(start_prepare())
    control = control_data(leipzig.tree)
    assert control["Database cluster state"] == "shut down"
    assert control["Database system identifier"] != control_data(mesh["hamburg"].tree)["Database system identifier"]
    assert started(leipzig).sql("select count(*) from visits") == [(1000,)]


def test_without_a_donor_of_its_version_nothing_is_made_and_the_way_out_is_told(
    leipzig: Site, start_prepare: StartPrepare
) -> None:
    leipzig.lines["hamburg"].cut()
    reason = refused(start_prepare())
    assert (
        f"berlin runs PostgreSQL {IMAGE_MAJOR}, of which this image with PostgreSQL {NEWER_MAJOR} cannot make a copy: "
        f"use an image with PostgreSQL {IMAGE_MAJOR}"
    ) in reason
    assert "hamburg does not answer" in reason
    assert list(leipzig.tree.paths.data.iterdir()) == []
