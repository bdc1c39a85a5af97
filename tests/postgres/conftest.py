"""Servers and meshes for the tests of the engine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import rootfs as rootfs_module
from tests.postgres.lives import Lives
from tests.postgres.mesh import Mesh, Site, build_now, make_engine_template
from tests.postgres.servers import Server, make_template, servers
from tests.postgres.writers import TABLE, Writers


@pytest.fixture(scope="session")
def rootfs() -> rootfs_module.Rootfs:
    return rootfs_module.ensure()


@pytest.fixture(scope="session")
def template(rootfs: rootfs_module.Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(rootfs, tmp_path_factory.mktemp("postgres") / "template")


@pytest.fixture(scope="session")
def engine_template(rootfs: rootfs_module.Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_engine_template(rootfs, tmp_path_factory.mktemp("postgres") / "with-engine")


@pytest.fixture(scope="session")
def mesh(
    rootfs: rootfs_module.Rootfs, engine_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mesh]:
    """Three sites that all tests share; each test makes tables of its own and leaves all links healed."""
    with servers(rootfs, engine_template, tmp_path_factory.mktemp("mesh"), 3) as made:
        yield build_now(made)


@pytest.fixture
def start_servers(
    rootfs: rootfs_module.Rootfs, template: Path, tmp_path: Path
) -> Iterator[Callable[[int], list[Server]]]:
    """Start servers for this test alone, without the engine."""
    with ExitStack() as stack:
        yield lambda count: stack.enter_context(servers(rootfs, template, tmp_path, count))


@pytest.fixture
def start_mesh(rootfs: rootfs_module.Rootfs, engine_template: Path, tmp_path: Path) -> Iterator[Callable[[int], Mesh]]:
    """Start so many sites for this test alone."""
    with ExitStack() as stack:
        yield lambda count: build_now(stack.enter_context(servers(rootfs, engine_template, tmp_path, count)))


@pytest.fixture
def two(start_mesh: Callable[[int], Mesh]) -> Mesh:
    """Two sites for this test alone."""
    return start_mesh(2)


@pytest.fixture
def berlin(mesh: Mesh) -> Site:
    """The schema site."""
    return mesh.sites[0]


@pytest.fixture
def hamburg(mesh: Mesh) -> Site:
    return mesh.sites[1]


@pytest.fixture
def leipzig(mesh: Mesh) -> Site:
    return mesh.sites[2]


@pytest.fixture
def lives(start_mesh: Callable[[int], Mesh]) -> Iterator[Lives]:
    """Three sites of this test alone, with a table; others may join."""
    made = Lives(start_mesh(3))
    made.mesh.sites[0].sql(TABLE)
    made.mesh.drain()
    made.settle()
    yield made
    for site in made.mesh:
        site.server.remove()


@pytest.fixture
def writers(lives: Lives, tmp_path: Path) -> Writers:
    return Writers(lives.mesh, tmp_path)
