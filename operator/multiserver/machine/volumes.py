"""The volumes of a site: how full they are, and whether they can be written at all."""

import errno
import os
import tempfile
from pathlib import Path

from multiserver.api.report import VolumeReport

_CURES = {
    errno.ENOSPC: "the volume is full: enlarge its storage.size or delete what is not needed",
    errno.EDQUOT: "the volume's quota is used up: enlarge it or delete what is not needed",
    errno.EROFS: "the volume is read-only, often after a fault of the disk: repair it and restart the pod",
    errno.EACCES: "user {user} may not write there: the volume must belong to the group of the pod's fsGroup",
    errno.EPERM: "user {user} may not write there: the volume must belong to the group of the pod's fsGroup",
    errno.ENOENT: "it does not exist: is the volume mounted?",
    errno.EIO: "the disk cannot be read or written: replace it",
}


def read_volume(name: str, path: Path) -> VolumeReport:
    """Measure a volume; free is what the site's user can still write. Raises OSError if it cannot be read."""
    status = os.statvfs(path)
    return VolumeReport(
        name=name, capacity_bytes=status.f_frsize * status.f_blocks, free_bytes=status.f_frsize * status.f_bavail
    )


def write_problem(folder: Path) -> str:
    """Say why nothing can be written below `folder`, with the way out; empty if something can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".write-test-") as probe:
            probe.write(bytes(4096))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return explain(error, folder)
    return ""


def explain(error: OSError, path: Path, done: str = "written") -> str:
    """Say in plain words what an error of the file system means for `path`, with the way out if one is known."""
    cure = _CURES.get(error.errno or 0, "").format(user=os.getuid())
    return f"{path} cannot be {done} ({error.strerror or error})" + (f": {cure}" if cure else "")
