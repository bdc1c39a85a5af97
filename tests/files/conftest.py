"""Meshes of real Syncthings."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests import rootfs as rootfs_module
from tests.files.mesh import Mesh, mesh_of

NAMES = ("berlin", "hamburg", "leipzig")


@pytest.fixture(scope="session")
def rootfs() -> rootfs_module.Rootfs:
    return rootfs_module.ensure()


@pytest.fixture(scope="session")
def mesh(rootfs: rootfs_module.Rootfs) -> Iterator[Mesh]:
    """Three connected sites that tests share; each test uses files of its own and leaves all lines healed."""
    with mesh_of(NAMES, rootfs) as made:
        made.tell_all(NAMES)
        for site in made.sites:
            site.start()
        yield made


@pytest.fixture
def make_mesh(rootfs: rootfs_module.Rootfs) -> Iterator[Callable[[Sequence[str]], Mesh]]:
    """Make a mesh for one test alone, not yet told or started."""
    with ExitStack() as stack:
        yield lambda names: stack.enter_context(mesh_of(names, rootfs))
