"""Fetches helm and kubectl once: wheel -> tgz -> zip -> program, checked by the hash in requirements.txt."""

import io
import platform
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from hack.common.cache import cache_folder, content_key, replaced_whole
from hack.common.command import CommandFailed, run
from hack.common.lock import file_lock
from hack.common.progress import step

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
LAYER = "package/lib/layer.zip"
PROGRAMS = ("helm", "kubectl")


def program(name: str) -> Path:
    """Return the path of `helm` or `kubectl`: the fixed version, or on other machines the one that is installed.

    Raises CommandFailed where neither can be had.
    """
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        return _fetched() / name
    if installed := shutil.which(name):
        return Path(installed)
    raise CommandFailed(f"{name} is not installed: install it, version 4 of helm or 1.34 of kubectl will do")


def _fetched() -> Path:
    """Return the cache folder with the programs, filled if it is not there."""
    room = cache_folder("tools")
    folder = room / content_key([("requirements", REQUIREMENTS.read_bytes())])
    with file_lock(room / "lock"):
        if not folder.exists():
            with step(f"fetch {' and '.join(PROGRAMS)}"), replaced_whole(folder) as unfinished:
                unfinished.mkdir()
                _unpack(_download(unfinished), unfinished)
    return folder


def _download(folder: Path) -> Path:
    """Download the wheel; pip refuses one whose hash is another."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    run([*pip, "--require-hashes", "--requirement", str(REQUIREMENTS), "--dest", str(folder)])
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    """Put the programs of a wheel into a folder and drop the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as tar:
            layer = tar.extractfile(LAYER)
            if layer is None:
                raise CommandFailed(f"{wheel.name} holds no {LAYER}: correct {REQUIREMENTS.name}")
            archive = io.BytesIO(layer.read())
    with zipfile.ZipFile(archive) as inner:
        for name in PROGRAMS:
            path = folder / name
            path.write_bytes(inner.read(f"{name}/{name}"))
            path.chmod(0o755)
    wheel.unlink()
