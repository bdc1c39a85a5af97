"""Everything that decides what an image becomes, and the keys that change exactly when one of these does."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from hack.common.cache import content_key

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = ("Dockerfile", "hack/images/base.py", "hack/images/dpkg.conf", "hack/images/createcluster.conf")
"""The files behind the part of the site image that holds the servers."""
SOURCES = (".dockerignore", "pyproject.toml", "operator")
"""The files and folders behind the Python package."""
NO_SOURCE = ("__pycache__", ".egg-info")


@dataclass(frozen=True)
class Recipe:
    """The build arguments: Debian's suite, the base image, PostgreSQL's version and where it comes from.

    `base` empty means Debian's own image of the suite, or one made here by debootstrap where no registry answers.
    `postgresql_repository` empty means Debian's own PostgreSQL.
    """

    suite: str = "forky"
    base: str = ""
    postgresql_major: str = "18"
    postgresql_repository: str = ""

    def arguments(self, base: str) -> dict[str, str]:
        """Return the Dockerfile's arguments with the base image that was found."""
        return {
            "BASE": base,
            "SUITE": self.suite,
            "PG_MAJOR": self.postgresql_major,
            "POSTGRESQL_REPOSITORY": self.postgresql_repository,
        }

    def programs_key(self) -> str:
        """Return the key of the servers' part of the site image, without the Python package."""
        return self._key(PROGRAMS)

    def images_key(self) -> str:
        """Return the key of the two whole images."""
        return self._key((*PROGRAMS, *SOURCES))

    def _key(self, inputs: tuple[str, ...]) -> str:
        settings = [(f"setting {field.name}", str(getattr(self, field.name)).encode()) for field in fields(self)]
        contents = [(str(path.relative_to(CHECKOUT)), path.read_bytes()) for path in source_files(CHECKOUT, inputs)]
        return content_key([("machine", platform.machine().encode()), *settings, *contents])


def source_files(checkout: Path, inputs: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files that `inputs` (files and folders of the checkout) name, without what Python leaves behind."""
    for name in inputs:
        top = checkout / name
        if not top.is_dir():
            yield top
            continue
        for path in sorted(top.rglob("*")):
            made = any(part.endswith(NO_SOURCE) for part in path.relative_to(checkout).parts)
            if path.is_file() and not made:
                yield path
