"""The stages for histories: the same servers as the engine's other tests, in a hurry."""

import pytest

from tests import rootfs
from tests.chaos.arena import hurry
from tests.chaos.checks import ANY_REPLICATION
from tests.chaos.history import Stage
from tests.chaos.native import Native
from tests.postgres.mesh import make_engine_template
from tests.postgres.servers import make_template


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    programs, folder = rootfs.ensure(), tmp_path_factory.mktemp("chaos")
    template = make_engine_template(programs, folder / "template")
    hurry(template)
    return Stage(programs, template, folder)


@pytest.fixture(scope="session")
def native_stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    programs, folder = rootfs.ensure(), tmp_path_factory.mktemp("native")
    template = make_template(programs, folder / "template")
    hurry(template)
    return Stage(programs, template, folder, Native(), ANY_REPLICATION)
