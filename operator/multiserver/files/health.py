"""How the files of a site are, from the answers of its Syncthing. Pure.

Syncthing's `state` alone lies: a folder on a full disk says idle. A folder is well only if it has no error, no item
failed, and nothing is needed.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from multiserver.api.report import FilesReport
from multiserver.api.siteconfig import Member, SiteConfig

Answer = Mapping[str, Any]
"""An answer of the REST interface."""

ERRORS_MAX = 10
"""How many sentences a report has at the most."""
FAILED_ITEMS_TOLD_MAX = 3
"""How many of a folder's files that fail are named."""

_NEVER = 1970
"""Year in which Syncthing says that a device was last seen if it never was."""

_WAYS_OUT = {
    "folder marker missing": "its content was lost; do not make the marker by hand, that would delete the files at all "
    "other sites: put the content back, or make the site's volume of files new as a whole",
    "folder path missing": "its content was lost: put it back, or make the site's volume of files new as a whole",
    "insufficient space": "the volume is nearly full: enlarge files.storage.size or delete what is not needed",
    "no space left": "the volume is full: enlarge files.storage.size or delete what is not needed",
}


@dataclass(frozen=True)
class Answers:
    """What Syncthing said at one moment."""

    system: Answer
    """/rest/system/status"""
    connections: Answer
    """/rest/system/connections"""
    devices: Answer
    """/rest/stats/device"""
    folders: Mapping[str, Answer] = field(default_factory=dict)
    """/rest/db/status of each folder."""
    failed_items: Mapping[str, Answer] = field(default_factory=dict)
    """/rest/folder/errors of each folder that has some."""
    completion: Mapping[str, Answer] = field(default_factory=dict)
    """/rest/db/completion over all folders, of each device by its id, the own one too."""


@dataclass(frozen=True)
class PeerFiles:
    """A peer's Syncthing from the viewpoint of this site."""

    reachable: bool | None = None
    percent: float | None = None
    """How much of all folders the peer is known to hold, 0 to 100."""
    last_seen: datetime | None = None


@dataclass(frozen=True)
class FilesHealth:
    """The site's own files, and those of each peer by its name."""

    report: FilesReport
    peers: Mapping[str, PeerFiles]


def unavailable(site: SiteConfig, why: str) -> FilesHealth:
    """Give the health where Syncthing does not answer: nothing is known of the peers either."""
    return FilesHealth(FilesReport(available=False, message=why), {peer.name: PeerFiles() for peer in site.peers})


def judge(site: SiteConfig, answers: Answers) -> FilesHealth:
    """Give the health of the site's files and of each peer's."""
    errors = [
        *_listener_errors(answers.system),
        *(error for name in site.folders for error in _folder_errors(name, answers)),
    ]
    own = answers.completion.get(site.own.syncthing_device_id)
    unknown = [name for name in site.folders if name not in answers.folders]
    percent = None if unknown or own is None else _percent(own)
    if percent == 100 and any(folder["needTotalItems"] for folder in answers.folders.values()):
        percent = 99.0
    peers = {peer.name: _peer(peer, answers) for peer in site.peers}
    if percent == 100 and peers and not any(peer.reachable or peer.last_seen for peer in peers.values()):
        percent = None  # Syncthing counts against what peers have told it, and none ever has.
    return FilesHealth(FilesReport(available=True, percent=percent, errors=_shortened(errors)), peers)


def _peer(peer: Member, answers: Answers) -> PeerFiles:
    """Judge a peer. What it holds is known from the index that it sent; before the first one nothing is."""
    connection = answers.connections["connections"].get(peer.syncthing_device_id)
    reachable = bool(connection and connection["connected"])
    last_seen = _last_seen(answers.devices.get(peer.syncthing_device_id))
    completion = answers.completion.get(peer.syncthing_device_id)
    if completion is None or not (reachable or last_seen):
        return PeerFiles(reachable, None, last_seen)
    if completion.get("remoteState") in ("paused", "notSharing"):
        return PeerFiles(reachable, None, last_seen)
    return PeerFiles(reachable, _percent(completion), last_seen)


def _last_seen(statistics: Answer | None) -> datetime | None:
    if statistics is None:
        return None
    moment = datetime.fromisoformat(statistics["lastSeen"])
    return None if moment.year <= _NEVER else moment


def _percent(completion: Answer) -> float:
    """Give what is held in percent: 100 only if truly nothing is needed, else one decimal, rounded down."""
    if completion["needItems"] == 0 and completion["needBytes"] == 0 and completion.get("needDeletes", 0) == 0:
        return 100.0
    return min(math.floor(float(completion["completion"]) * 10) / 10, 99.0)


def _listener_errors(system: Answer) -> Iterator[str]:
    """Say on which address Syncthing cannot listen, so that no peer reaches it."""
    for address, listener in system.get("connectionServiceStatus", {}).items():
        if listener.get("error"):
            yield f"Syncthing cannot listen on {address}: {listener['error']}"


def _folder_errors(name: str, answers: Answers) -> Iterator[str]:
    """Say what is wrong with a folder."""
    folder = answers.folders.get(name)
    if folder is None:
        yield f"folder {name} is not set up in Syncthing yet"
        return
    if folder["error"]:
        yield f"folder {name} stands still: {_with_way_out(folder['error'])}"
    if folder.get("watchError"):
        yield f"folder {name}: changes are only found hourly, they cannot be watched: {folder['watchError']}"
    failed = answers.failed_items.get(name, {}).get("errors") or []
    for item in failed[:FAILED_ITEMS_TOLD_MAX]:
        yield f"folder {name}: {item['path']}: {_with_way_out(item['error'])}"
    if folder["errors"] > min(len(failed), FAILED_ITEMS_TOLD_MAX):
        yield f"folder {name}: {folder['errors']} files fail in all"


def _with_way_out(error: str) -> str:
    """Add the way out where there is one to say; Syncthing's own advice in brackets points elsewhere."""
    for start, way_out in _WAYS_OUT.items():
        if start in error:
            return f"{error.split(' (')[0]}: {way_out}"
    return error


def _shortened(errors: list[str]) -> tuple[str, ...]:
    if len(errors) <= ERRORS_MAX:
        return tuple(errors)
    return (*errors[: ERRORS_MAX - 1], f"and {len(errors) - ERRORS_MAX + 1} more errors")
