"""A site that is cut off goes on alone, and all sites are equal again when the line is healed."""

import asyncio
import re

from multiserver.files.client import Syncthing
from multiserver.files.reconcile import reconcile, redial
from tests.files.mesh import OBSERVATIONS_MAX, PAUSE_SECONDS, Mesh, Site, all_connected
from tests.sites import eventually

CONFLICT = re.compile(r"\.sync-conflict-\d{8}-\d{6}-[A-Z2-7]{7}")


async def test_both_viewpoints_say_that_a_site_is_cut_off(mesh: Mesh) -> None:
    berlin, hamburg, leipzig = mesh.sites
    for site in mesh.sites:
        await site.health_when(all_connected)
    mesh.cut("berlin")
    try:
        alone = await berlin.health_when(lambda health: not any(peer.reachable for peer in health.peers.values()))
        assert alone.report.available
        assert alone.report.errors == ()
        for site in (hamburg, leipzig):
            seen = await site.health_when(lambda health: health.peers["berlin"].reachable is False)
            assert seen.peers["berlin"].last_seen is not None
            assert [name for name, peer in seen.peers.items() if peer.reachable] == [
                other.name for other in (hamburg, leipzig) if other is not site
            ]
    finally:
        mesh.heal("berlin")
    await berlin.health_when(all_connected)


def test_what_was_written_on_both_sides_of_a_cut_is_everywhere_after_it(mesh: Mesh) -> None:
    berlin, hamburg, leipzig = mesh.sites
    mesh.cut("berlin")
    berlin.drop("alone.txt", "written while cut off")
    leipzig.drop("meanwhile.txt", "written by the others")
    eventually(lambda: hamburg.text("meanwhile.txt"), "hamburg and leipzig go on")
    assert hamburg.text("alone.txt") is None
    mesh.heal("berlin")
    for site in mesh.sites:
        eventually(
            lambda site=site: {"alone.txt", "meanwhile.txt"} <= site.texts().keys(), f"both files at {site.name}"
        )


def test_two_edits_of_one_file_both_survive_everywhere(mesh: Mesh) -> None:
    berlin, hamburg, _ = mesh.sites
    berlin.drop("letter.txt", "first")
    for site in mesh.sites:
        eventually(lambda site=site: site.text("letter.txt") == "first", f"the file is at {site.name}")
    mesh.cut("berlin")
    hamburg.drop("letter.txt", "changed at hamburg")
    berlin.drop("letter.txt", "changed at berlin")
    mesh.heal("berlin")
    for site in mesh.sites:
        eventually(lambda site=site: both_edits(site), f"both edits are at {site.name}")
    (winner,) = {site.text("letter.txt") for site in mesh.sites}
    assert winner == "changed at berlin", "the later edit keeps the name"


async def test_a_peer_is_dialled_anew_at_once(mesh: Mesh) -> None:
    berlin, hamburg, _ = mesh.sites
    await berlin.health_when(all_connected)
    device_id = hamburg.told.own.syncthing_device_id
    async with berlin.client() as client:
        before = await connected_since(client, device_id)
        await redial(client, device_id)
        async with asyncio.timeout(OBSERVATIONS_MAX * PAUSE_SECONDS):
            while await connected_since(client, device_id) <= before:
                continue
        assert await reconcile(client, berlin.wanted) == []


async def connected_since(client: Syncthing, device_id: str) -> str:
    """Give when the connection to a peer was opened; while there is none, a time before all others."""
    connections = (await client.get("/rest/system/connections"))["connections"]
    return str(connections[device_id]["startedAt"])


def both_edits(site: Site) -> bool:
    """Tell whether the file and its conflict copy are there and hold both texts."""
    texts = {CONFLICT.sub("", name): text for name, text in site.texts().items() if name.startswith("letter")}
    held = {text for name, text in site.texts().items() if name.startswith("letter")}
    return texts.keys() == {"letter.txt"} and held == {"changed at berlin", "changed at hamburg"}
