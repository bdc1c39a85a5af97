"""The known ways to lose files, and that they lose none."""

import shutil
import signal
from collections.abc import Callable, Sequence

from multiserver.files.observe import observe
from tests.files.mesh import Mesh, Site, all_connected
from tests.sites import eventually

MakeMesh = Callable[[Sequence[str]], Mesh]


def two_sites(make_mesh: MakeMesh) -> tuple[Site, Site]:
    """Start two sites that hold the same file."""
    mesh = make_mesh(("berlin", "hamburg"))
    mesh.tell_all(("berlin", "hamburg"))
    berlin, hamburg = mesh.sites
    berlin.start()
    hamburg.start()
    berlin.drop("precious.txt", "not again to be had")
    eventually(lambda: hamburg.text("precious.txt"), "both sites hold the file")
    return berlin, hamburg


async def test_lost_content_deletes_nothing_elsewhere_and_says_what_to_do(make_mesh: MakeMesh) -> None:
    berlin, hamburg = two_sites(make_mesh)
    berlin.stop()
    shutil.rmtree(berlin.tree.paths.folders / "documents")
    berlin.start()
    health = await berlin.health_when(lambda health: bool(health.report.errors))
    (error,) = health.report.errors
    assert error.startswith("folder documents stands still: folder marker missing: its content was lost")
    assert not (berlin.tree.paths.folders / "documents" / ".stfolder").exists()

    hamburg.drop("later.txt", "the line still works")
    await hamburg.health_when(all_connected)
    assert hamburg.texts() == {"precious.txt": "not again to be had", "later.txt": "the line still works"}


def test_a_site_whose_volume_is_new_gets_all_files_from_the_others(make_mesh: MakeMesh) -> None:
    berlin, hamburg = two_sites(make_mesh)
    berlin.stop(signal.SIGKILL)
    shutil.rmtree(berlin.tree.paths.files)
    berlin.tell(berlin.told)
    berlin.start()
    eventually(lambda: berlin.texts() == {"precious.txt": "not again to be had"}, "berlin has the file again")
    assert hamburg.texts() == {"precious.txt": "not again to be had"}


def test_a_killed_syncthing_starts_again_and_loses_nothing(make_mesh: MakeMesh) -> None:
    berlin, hamburg = two_sites(make_mesh)
    berlin.stop(signal.SIGKILL)
    hamburg.drop("meanwhile.txt", "written while berlin was down")
    berlin.start()
    eventually(lambda: berlin.text("meanwhile.txt"), "berlin catches up")
    assert berlin.texts() == hamburg.texts()


async def test_a_syncthing_that_is_down_is_told_as_such(make_mesh: MakeMesh) -> None:
    berlin, _ = two_sites(make_mesh)
    berlin.stop()
    async with berlin.client() as client:
        health = await observe(client, berlin.told)
    assert not health.report.available
    assert str(berlin.tree.paths.syncthing_socket) in health.report.message
    assert health.report.percent is None
    assert health.peers["hamburg"].reachable is None
