"""Where images come from: an archive on disk, or the store of an image builder on this machine."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hack.common.command import run, succeeds
from hack.common.progress import step
from local_cluster.errors import LocalClusterError

EXPORT_TIMEOUT_SECONDS = 900.0

# How each builder is asked whether it has an image, and told to write it to an archive.
BUILDERS: Mapping[str, tuple[list[str], list[str]]] = {
    "buildah": (["inspect", "--type", "image", "{image}"], ["push", "{image}", "docker-archive:{archive}:{image}"]),
    "podman": (["image", "exists", "{image}"], ["save", "--output", "{archive}", "{image}"]),
    "docker": (["image", "inspect", "{image}"], ["save", "--output", "{archive}", "{image}"]),
}


@contextmanager
def archive_of(image: str) -> Iterator[Path]:
    """Give the archive of an image: the file itself, or one written for the time of the block."""
    path = Path(image)
    if path.is_file():
        yield path
        return
    builder = _builder_with(image)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / f"{re.sub('[^A-Za-z0-9.]', '-', image)}.tar"
        with step(f"write {image} from {builder} to an archive"):
            command = _words(builder, BUILDERS[builder][1], image, archive)
            run(command, timeout_seconds=EXPORT_TIMEOUT_SECONDS)
        yield archive


def _builder_with(image: str) -> str:
    installed = [builder for builder in BUILDERS if shutil.which(builder)]
    for builder in installed:
        if succeeds(_words(builder, BUILDERS[builder][0], image, Path())):
            return builder
    raise LocalClusterError(
        f"{image} is neither a file nor an image of {', '.join(installed) or 'any image builder'}; build it first, or "
        "give the path of an archive"
    )


def _words(builder: str, words: list[str], image: str, archive: Path) -> list[str]:
    return [builder, *(word.format(image=image, archive=archive) for word in words)]
