"""Files that appear whole or not at all, also when power fails."""

import os
from pathlib import Path

from multiserver.machine.volumes import explain
from multiserver.prepare.errors import PrepareError


def write_if_different(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Make `path` hold `content` with this mode; tell whether it had to be written.

    What is right already is left alone, so a full volume stops no site that ran before. Raises PrepareError.
    """
    try:
        if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return False
        _write(path, content, mode)
    except OSError as error:
        raise PrepareError(explain(error, path)) from error
    return True


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder and those above it, if they are missing. Raises PrepareError."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise PrepareError(explain(error, path)) from error


def sync_folder(path: Path) -> None:
    """Put the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write beside the place, then move there."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # The mode above passed through the umask.
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    unfinished.rename(path)
    sync_folder(path.parent)
