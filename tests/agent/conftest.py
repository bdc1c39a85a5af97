"""Meshes of sites with agents."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import rootfs as rootfs_module
from tests.agent.sites import Mesh, Site, mesh_of
from tests.postgres.mesh import make_engine_template


@pytest.fixture(scope="session")
def rootfs() -> rootfs_module.Rootfs:
    return rootfs_module.ensure()


@pytest.fixture(scope="session")
def template(rootfs: rootfs_module.Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_engine_template(rootfs, tmp_path_factory.mktemp("postgres") / "template")


@pytest.fixture(scope="session")
def made_mesh(rootfs: rootfs_module.Rootfs, template: Path) -> Iterator[Mesh]:
    with mesh_of(("berlin", "hamburg", "leipzig"), rootfs, template) as made:
        yield made


@pytest.fixture
def mesh(made_mesh: Mesh) -> Iterator[Mesh]:
    """Three sites that replicate, shared by all tests; each test begins and ends with all lines whole."""
    yield made_mesh
    made_mesh.heal_all()


@pytest.fixture
def berlin(mesh: Mesh) -> Site:
    return mesh["berlin"]


@pytest.fixture
def hamburg(mesh: Mesh) -> Site:
    return mesh["hamburg"]
