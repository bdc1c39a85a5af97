"""Two sites that replicate to each other."""

from collections.abc import Iterator

import pytest

from tests import rootfs
from tests.agent.sites import Mesh, mesh_of
from tests.postgres.mesh import make_engine_template


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    programs = rootfs.ensure()
    template = make_engine_template(programs, tmp_path_factory.mktemp("stop") / "template")
    with mesh_of(("berlin", "hamburg"), programs, template) as made:
        yield made
