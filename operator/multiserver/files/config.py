"""Syncthing's configuration as the operator wants it, and how it differs from the present one. Pure.

Everything is written in the form of Syncthing's REST interface; `configfile` turns the same into config.xml. Only the
fields that stand here are owned: what an administrator sets besides, for example a rate limit, stays as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from multiserver.api.names import FILES_PORT
from multiserver.api.siteconfig import Member, SiteConfig

Fields = dict[str, Any]
"""A part of Syncthing's configuration as JSON has it."""

IGNORED = ("(?d)*.part",)
"""Patterns of files that are not synchronised: half-written ones. (?d) lets their folder be deleted nonetheless."""

VERSIONS_KEPT_SECONDS = 30 * 24 * 3600
"""How long a file that another site replaced or deleted is kept in .stversions."""

OPTIONS: Fields = {
    # No server of the Syncthing project and no multicast: a site dials its peers, and no one else.
    "globalAnnounceEnabled": False,
    "localAnnounceEnabled": False,
    "relaysEnabled": False,
    "natEnabled": False,
    "crashReportingEnabled": False,
    "announceLANAddresses": False,
    "startBrowser": False,
    "urAccepted": -1,
    "urSeen": 3,
    "autoUpgradeIntervalH": 0,
    "stunKeepaliveStartS": 0,
    "urURL": "",
    "releasesURL": "",
    "crURL": "",
    "stunServers": [""],
    # A line that is back is used within seconds.
    "reconnectionIntervalS": 10,
    "setLowPriority": False,
    "overwriteRemoteDeviceNamesOnConnect": False,
    # The index shares the volume of the folders: stop before it is full, so that the index stays sound.
    "minHomeDiskFree": {"value": 1, "unit": "%"},
}
"""Owned options besides the listening address."""


@dataclass(frozen=True)
class FilesConfig:
    """The owned part of Syncthing's configuration, and the patterns that its folders ignore."""

    options: Fields
    devices: tuple[Fields, ...]
    folders: tuple[Fields, ...]
    ignored: tuple[str, ...] = IGNORED


@dataclass(frozen=True)
class Change:
    """One difference, as the REST call that removes it."""

    method: Literal["PUT", "PATCH", "DELETE"]
    path: str
    body: Fields | None
    sentence: str
    """The change in words, for the log."""


def desired(config: SiteConfig, folders: Path, listen: str = f"tcp://0.0.0.0:{FILES_PORT}") -> FilesConfig:
    """Give what the site's Syncthing should be: every site a device, every folder shared with every site.

    `folders` is the folder that holds the synchronised ones.
    """
    ids = [member.syncthing_device_id for member in config.members]
    return FilesConfig(
        options={"listenAddresses": [listen], **OPTIONS},
        devices=tuple(_device(member, config.site) for member in config.members),
        folders=tuple(_folder(name, folders / name, ids) for name in config.folders),
    )


def _device(member: Member, site: str) -> Fields:
    """Give a site as a device. Introducers stay off: only the resource says who takes part."""
    own = member.name == site
    return {
        "deviceID": member.syncthing_device_id,
        "name": member.name,
        "addresses": ["dynamic"] if own else [f"tcp://{member.host}:{member.files_port}"],
        "introducer": False,
        "autoAcceptFolders": False,
        "paused": False,
    }


def _folder(name: str, path: Path, device_ids: list[str]) -> Fields:
    """Give a folder that all sites may write."""
    return {
        "id": name,
        "label": name,
        "path": str(path),
        "type": "sendreceive",
        "devices": [{"deviceID": device_id} for device_id in device_ids],
        "fsWatcherEnabled": True,
        "fsWatcherDelayS": 1,
        "rescanIntervalS": 3600,
        "maxConflicts": 10,
        # What could not be fetched, for example since the line broke, is tried again after this time, not a minute.
        "pullerPauseS": 10,
        "markerName": ".stfolder",
        "minDiskFree": {"value": 1, "unit": "%"},
        "versioning": {
            "type": "staggered",
            "params": {"maxAge": str(VERSIONS_KEPT_SECONDS)},
            "cleanupIntervalS": 3600,
        },
        "paused": False,
    }


def changes(current: Mapping[str, Any], wanted: FilesConfig) -> list[Change]:
    """Give the REST calls that turn `current` (the answer of /rest/config) into `wanted`; none if it is that already.

    Devices come before the folders that name them; what is no longer wanted goes last, folders before devices.
    Removing a folder from the configuration leaves its files on the volume.
    """
    return [
        *_options(current.get("options", {}), wanted.options),
        *_present("device", "deviceID", current.get("devices", []), wanted.devices),
        *_present("folder", "id", current.get("folders", []), wanted.folders),
        *_absent("folder", "id", current.get("folders", []), wanted.folders),
        *_absent("device", "deviceID", current.get("devices", []), wanted.devices),
    ]


def _options(current: Fields, wanted: Fields) -> Iterator[Change]:
    differing = _differing(current, wanted)
    if differing:
        yield Change("PATCH", "/rest/config/options", differing, f"set options {', '.join(sorted(differing))}")


def _present(kind: str, key: str, current: list[Fields], wanted: tuple[Fields, ...]) -> Iterator[Change]:
    """Add what is missing, correct the owned fields of what differs."""
    by_id = {item[key]: item for item in current}
    for item in wanted:
        path = f"/rest/config/{kind}s/{item[key]}"
        name = item.get("name", item[key])
        if item[key] not in by_id:
            yield Change("PUT", path, item, f"add {kind} {name}")
        elif differing := _differing(by_id[item[key]], item):
            yield Change("PATCH", path, differing, f"set {', '.join(sorted(differing))} of {kind} {name}")


def _absent(kind: str, key: str, current: list[Fields], wanted: tuple[Fields, ...]) -> Iterator[Change]:
    """Remove what nobody declared, for example a site that left."""
    kept = {item[key] for item in wanted}
    for item in current:
        if item[key] not in kept:
            name = item.get("name") or item[key]
            yield Change("DELETE", f"/rest/config/{kind}s/{item[key]}", None, f"remove {kind} {name}")


def _differing(current: Fields, wanted: Fields) -> Fields:
    """Give the wanted fields whose present value is another."""
    return {key: value for key, value in wanted.items() if not _same(current.get(key), value)}


def _same(current: object, wanted: object) -> bool:
    """Tell whether the owned part is as wanted: other keys of a dictionary and the order of devices do not matter."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(_same(current.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        return _ids(current) == _ids(wanted)
    return current == wanted


def _ids(devices: object) -> set[str] | None:
    """Give the ids of a folder's devices."""
    return {device["deviceID"] for device in devices} if isinstance(devices, list) else None
