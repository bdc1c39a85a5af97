"""One site is a cluster too."""

import pytest

from hack.demo.mesh import Mesh, condition
from hack.demo.waiting import wait_for
from tests.e2e.conftest import NewMesh

SCHEDULED_SECONDS = 180


@pytest.fixture(scope="module")
def single(new_mesh: NewMesh) -> Mesh:
    """A cluster of one site whose data are backed up every minute."""
    mesh = new_mesh("single", "berlin", backup={"schedule": {"data": "* * * * *"}})
    mesh.apply()
    return mesh


def test_a_single_site_becomes_ready_and_serves(single: Mesh) -> None:
    status = single.wait_until_healthy()
    assert condition(status, "ReplicationHealthy")["message"] == "one site only, nothing to replicate"
    assert status["summary"] == "the site serves"
    site = single.sites[0]
    site.sql("create table note (id bigserial primary key, text text); insert into note (text) values ('alone')")
    assert site.sql("select text from note") == "alone"


def test_its_data_are_backed_up_by_the_schedule(single: Mesh) -> None:
    single.wait_until_healthy()
    listed = wait_for("a backup", single.sites[0].backups, until=bool, timeout_seconds=SCHEDULED_SECONDS)
    assert (listed[0]["type"], listed[0]["error"]) == ("full", False)
