"""A running Syncthing follows the declaration, by differences only and without a restart."""

from collections.abc import Callable, Sequence

from multiserver.files.reconcile import reconcile
from tests.files.mesh import Mesh, Site
from tests.sites import eventually

MakeMesh = Callable[[Sequence[str]], Mesh]


async def follow(site: Site) -> list[str]:
    """Let a site's Syncthing become what the site is told."""
    async with site.client() as client:
        return await reconcile(client, site.wanted)


async def test_a_peer_joins_and_leaves_without_a_restart(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(("berlin", "hamburg", "leipzig"))
    berlin, hamburg, leipzig = mesh.sites
    mesh.tell_all(("berlin", "hamburg"))
    berlin.start()
    hamburg.start()
    berlin.drop("early.txt", "before leipzig joined")
    eventually(lambda: hamburg.text("early.txt"), "two sites are in sync")

    mesh.tell_all(("berlin", "hamburg", "leipzig"))
    leipzig.start()
    for site in (berlin, hamburg):
        assert await follow(site) == ["add device leipzig", "set devices of folder documents"]
        assert await follow(site) == []
    eventually(lambda: leipzig.text("early.txt"), "leipzig has what was there before")

    mesh.tell_all(("berlin", "hamburg"))
    assert "remove device leipzig" in await follow(berlin)
    async with berlin.client() as client:
        connections = await client.get("/rest/system/connections")
    assert leipzig.wanted.devices[2]["deviceID"] not in connections["connections"]


async def test_a_folder_added_and_removed_leaves_its_files(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(("berlin", "hamburg"))
    mesh.tell_all(("berlin", "hamburg"))
    for site in mesh.sites:
        site.start()
    mesh.tell_all(("berlin", "hamburg"), ("documents", "images"))
    for site in mesh.sites:
        assert await follow(site) == ["add folder images", "ignore (?d)*.part in folder images"]
    berlin, hamburg = mesh.sites
    berlin.drop("x-ray.txt", "bones", folder="images")
    eventually(lambda: hamburg.text("x-ray.txt", "images"), "the new folder is in sync")

    mesh.tell_all(("berlin", "hamburg"))
    for site in mesh.sites:
        assert await follow(site) == ["remove folder images"]
        assert site.text("x-ray.txt", "images") == "bones"


async def test_owned_settings_are_put_back_and_others_stay(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(("berlin",))
    mesh.tell_all(("berlin",))
    (berlin,) = mesh.sites
    berlin.start()
    async with berlin.client() as client:
        changed = {"globalAnnounceEnabled": True, "maxSendKbps": 500}
        await client.call("PATCH", "/rest/config/options", changed)
        await client.call("PATCH", "/rest/config/folders/documents", {"maxConflicts": 0, "order": "oldestFirst"})
        ignores = {"ignore": ["*.bak"]}
        await client.call("POST", "/rest/db/ignores", ignores, {"folder": "documents"})

        assert await reconcile(client, berlin.wanted) == [
            "set options globalAnnounceEnabled",
            "set maxConflicts of folder documents",
            "ignore (?d)*.part in folder documents",
        ]

        config = await client.get("/rest/config")
        assert config["options"]["maxSendKbps"] == 500
        assert config["folders"][0]["order"] == "oldestFirst"
        assert (await client.get("/rest/db/ignores", folder="documents"))["ignore"] == ["(?d)*.part", "*.bak"]


async def test_a_restart_keeps_what_an_administrator_set(make_mesh: MakeMesh) -> None:
    mesh = make_mesh(("berlin",))
    mesh.tell_all(("berlin",))
    (berlin,) = mesh.sites
    berlin.start()
    async with berlin.client() as client:
        await client.call("PATCH", "/rest/config/options", {"maxSendKbps": 500})
    berlin.stop()
    berlin.start()
    async with berlin.client() as client:
        assert (await client.get("/rest/config"))["options"]["maxSendKbps"] == 500
        assert await reconcile(client, berlin.wanted) == []
