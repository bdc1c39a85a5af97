"""The stage for histories: the same servers as the engine's other tests, in a hurry."""

import pytest

from tests import rootfs
from tests.chaos.arena import hurry
from tests.chaos.history import Stage
from tests.postgres.servers import make_template


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    programs, folder = rootfs.ensure(), tmp_path_factory.mktemp("chaos")
    template = make_template(programs, folder / "template")
    hurry(template)
    return Stage(programs, template, folder)
