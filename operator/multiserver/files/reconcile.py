"""Makes the running Syncthing what it should be, by differences only.

Level-triggered: it may run at any time and be killed at any point; the next run does what is left. A peer that joins
or leaves needs no restart.
"""

from multiserver.files.client import Syncthing
from multiserver.files.config import Fields, FilesConfig, changes


async def reconcile(syncthing: Syncthing, wanted: FilesConfig) -> list[str]:
    """Send what differs; give the changes made, in words. Nothing differs, nothing is sent.

    Syncthing rewrites its configuration file on every call that sends one, even an equal one. Raises SyncthingError.
    """
    done = []
    for change in changes(await syncthing.get("/rest/config"), wanted):
        await syncthing.call(change.method, change.path, change.body)
        done.append(change.sentence)
    for folder in wanted.folders:
        done += await _ignore(syncthing, folder, wanted.ignored)
    return done


async def _ignore(syncthing: Syncthing, folder: Fields, patterns: tuple[str, ...]) -> list[str]:
    """Add the patterns that the folder does not ignore yet; what people added themselves stays."""
    present = (await syncthing.get("/rest/db/ignores", folder=folder["id"]))["ignore"] or []
    missing = [pattern for pattern in patterns if pattern not in present]
    if not missing:
        return []
    await syncthing.call("POST", "/rest/db/ignores", {"ignore": missing + present}, {"folder": folder["id"]})
    return [f"ignore {', '.join(missing)} in folder {folder['id']}"]


async def redial(syncthing: Syncthing, device_id: str) -> None:
    """Drop the connections to a peer and dial it at once. Raises SyncthingError.

    For a line that is back after it swallowed packets: Syncthing keeps its dead connection for up to five minutes, and
    the kernel resends on it only after about as long as the line was gone. Should we be killed while the peer is
    paused, the next reconcile goes on with it.
    """
    for act in ("pause", "resume"):
        await syncthing.call("POST", f"/rest/system/{act}", parameters={"device": device_id})
