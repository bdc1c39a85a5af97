"""The cache folder: finished builds, each named by a key over all its inputs, shared by every checkout."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder(room: str) -> Path:
    """Return the folder of `room` (such as "images") in the cache, made if missing.

    The cache is $MULTISERVER_CACHE, or ~/.cache/multiserver.
    """
    root = os.environ.get("MULTISERVER_CACHE") or Path.home() / ".cache" / "multiserver"
    folder = Path(root).absolute() / room
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content_key(parts: Iterable[tuple[str, bytes]]) -> str:
    """Return a key of 16 hex digits over named contents; their order does not matter, names and bounds do."""
    digest = hashlib.sha256()
    for name, content in sorted(parts):
        for field in (name.encode(), content):
            digest.update(len(field).to_bytes(8, "big"))
            digest.update(field)
    return digest.hexdigest()[:16]


@contextmanager
def replaced_whole(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to build a file or folder at; it takes the target's place only when finished.

    A build that fails or is killed leaves no target, and the next one starts from nothing. One builder at a
    time: hold the lock of the room.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    remove(unfinished)
    yield unfinished
    remove(target)
    unfinished.rename(target)


def prune(entries: Iterable[Path], keep: int) -> list[Path]:
    """Remove all but the `keep` most recently used entries; return the removed ones."""
    newest_first = sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)
    for entry in newest_first[keep:]:
        remove(entry)
    return newest_first[keep:]


def mark_used(entry: Path) -> None:
    """Set the entry's time of last use to now, which `prune` goes by."""
    os.utime(entry)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
