"""Three sites started from rendered configurations hold each other's files."""

from pathlib import Path

from multiserver.files.reconcile import reconcile
from tests.files.mesh import Mesh
from tests.sites import eventually

LOOPBACK_HEX = "0100007F"
"""127.0.0.1 as the kernel writes it."""


def test_a_file_dropped_at_any_site_appears_at_all_others(mesh: Mesh) -> None:
    for site in mesh.sites:
        site.drop(f"from-{site.name}.txt", f"written at {site.name}")
    for site in mesh.sites:
        for origin in mesh.sites:
            eventually(
                lambda site=site, origin=origin: site.text(f"from-{origin.name}.txt") == f"written at {origin.name}",
                f"the file of {origin.name} is at {site.name}",
            )


def test_a_half_written_file_does_not_travel(mesh: Mesh) -> None:
    berlin, hamburg, _ = mesh.sites
    berlin.path("scan.pdf.part").write_text("half")
    berlin.drop("after.txt", "written later")
    eventually(lambda: hamburg.text("after.txt"), "a later file is at hamburg")
    assert hamburg.text("scan.pdf.part") is None


def test_a_deleted_file_is_kept_among_the_versions_of_the_other_sites(mesh: Mesh) -> None:
    berlin, hamburg, _ = mesh.sites
    berlin.drop("mistake.txt", "needed after all")
    eventually(lambda: hamburg.text("mistake.txt"), "the file is at hamburg")
    berlin.path("mistake.txt").unlink()
    eventually(lambda: hamburg.text("mistake.txt") is None, "the file is gone at hamburg")
    (kept,) = (hamburg.tree.paths.folders / "documents" / ".stversions").glob("mistake*")
    assert kept.read_text() == "needed after all"


async def test_the_rendered_configuration_is_already_what_reconcile_wants(mesh: Mesh) -> None:
    for site in mesh.sites:
        async with site.client() as client:
            assert await reconcile(client, site.wanted) == []


def test_syncthing_has_no_socket_but_for_its_peers(mesh: Mesh) -> None:
    site = mesh.sites[0]
    assert site.process
    children = [path.read_text().split() for path in Path(f"/proc/{site.process.pid}/task").glob("*/children")]
    ((child,),) = filter(None, children)
    own = {str(link.readlink()) for link in Path(f"/proc/{child}/fd").iterdir()}
    used = {
        protocol: [addresses for inode, addresses in sockets(protocol) if f"socket:[{inode}]" in own]
        for protocol in ("udp", "udp6", "tcp", "tcp6")
    }
    assert used["udp"] == used["udp6"] == used["tcp6"] == []
    assert used["tcp"]
    assert all(address.startswith(LOOPBACK_HEX) for addresses in used["tcp"] for address in addresses[:1])


def sockets(protocol: str) -> list[tuple[str, tuple[str, str]]]:
    """Give each socket's inode, and its own and remote address, as the kernel lists them."""
    rows = [line.split() for line in Path("/proc/net", protocol).read_text().splitlines()[1:]]
    return [(row[9], (row[1], row[2])) for row in rows]


async def test_a_site_reports_its_files_and_its_peers(mesh: Mesh) -> None:
    health = await mesh.sites[0].health_when(
        lambda health: health.report.percent == 100 and all(peer.percent == 100 for peer in health.peers.values())
    )
    assert health.report.available
    assert health.report.errors == ()
    assert {name: peer.reachable for name, peer in health.peers.items()} == {"hamburg": True, "leipzig": True}
