"""What has to be on a volume before servers start: written only where it is not there yet, and whole or not at all."""

from pathlib import Path

from multiserver.machine.atomic import write_whole
from multiserver.machine.volumes import explain
from multiserver.prepare.errors import PrepareError


def write_if_different(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Make `path` hold `content` with this mode; tell whether it had to be written.

    What is right already is left alone, so a full volume stops no site that ran before. Raises PrepareError.
    """
    try:
        if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return False
        write_whole(path, content, mode)
    except OSError as error:
        raise PrepareError(explain(error, path)) from error
    return True


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder and those above it, if they are missing. Raises PrepareError."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise PrepareError(explain(error, path)) from error
