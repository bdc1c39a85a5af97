"""Asks Syncthing for everything that the health of the files is judged from."""

import asyncio
from collections.abc import Iterable, Mapping

from multiserver.api.siteconfig import SiteConfig
from multiserver.files.client import Syncthing, SyncthingError
from multiserver.files.health import FAILED_ITEMS_TOLD_MAX, Answer, Answers, FilesHealth, judge, unavailable

OBSERVE_SECONDS_MAX = 10.0


async def observe(syncthing: Syncthing, site: SiteConfig) -> FilesHealth:
    """Give the health of the site's files; if Syncthing does not answer, that is what it says."""
    try:
        async with asyncio.timeout(OBSERVE_SECONDS_MAX):
            return judge(site, await ask(syncthing, site))
    except SyncthingError as error:
        return unavailable(site, str(error))
    except TimeoutError:
        return unavailable(site, f"Syncthing took longer than {OBSERVE_SECONDS_MAX:g} s to answer")


async def ask(syncthing: Syncthing, site: SiteConfig) -> Answers:
    """Gather the answers. Folders that Syncthing does not have yet are left out. Raises SyncthingError."""
    config, system, connections, devices = await asyncio.gather(
        syncthing.get("/rest/config"),
        syncthing.get("/rest/system/status"),
        syncthing.get("/rest/system/connections"),
        syncthing.get("/rest/stats/device"),
    )
    configured = {folder["id"] for folder in config["folders"]}
    known = {device["deviceID"] for device in config["devices"]}
    names = [name for name in site.folders if name in configured]
    ids = [member.syncthing_device_id for member in site.members if member.syncthing_device_id in known]
    folders = await _each(syncthing, "/rest/db/status", "folder", names)
    failing = [name for name in names if folders[name]["errors"]]
    return Answers(
        system=system,
        connections=connections,
        devices=devices,
        folders=folders,
        failed_items=await _each(
            syncthing, "/rest/folder/errors", "folder", failing, perpage=str(FAILED_ITEMS_TOLD_MAX)
        ),
        completion=await _each(syncthing, "/rest/db/completion", "device", ids),
    )


async def _each(
    syncthing: Syncthing, path: str, parameter: str, values: Iterable[str], **more: str
) -> Mapping[str, Answer]:
    """Ask the same of each value; Syncthing is asked one by one, as its answers cost it work."""
    return {value: await syncthing.get(path, **{parameter: value}, **more) for value in values}
