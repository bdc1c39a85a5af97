"""The site image's programs for tests on the host: the real PostgreSQL, pgbackrest, restic and syncthing.

They are the very packages of the site image, unpacked once into the cache folder (`python hack/images rootfs`) and
entered by chroot in a mount namespace of their own. Needs root.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.common.cache import cache_folder, content_key, mark_used, prune, replaced_whole
from hack.common.command import CommandFailed, run
from hack.common.lock import file_lock
from hack.common.progress import step
from hack.images.recipe import Recipe

CHECKOUT = Path(__file__).resolve().parents[1]
USER_ID = 10001
"""The number of the images' user and group `postgres`; folders that a program writes to must belong to it."""

IMAGE_MAJOR = int(Recipe().postgresql_major)
"""Major version of PostgreSQL in the site image."""
NEWER_MAJOR = IMAGE_MAJOR + 1
"""The one after it, of which Debian has a release candidate in its suite `experimental`."""
MAJOR = int(os.environ.get("PG_MAJOR") or IMAGE_MAJOR)
"""Major version that the tests use where they do not say; `make test-postgres PG_MAJOR=19` runs them with another."""

INSTALL_NEWER = """\
cat > /etc/apt/sources.list.d/experimental.list <<END
deb http://deb.debian.org/debian experimental main
END
cat > /etc/apt/preferences.d/postgresql <<END
Package: src:postgresql-{major}
Pin: release a=experimental
Pin-Priority: 990
END
apt-get update --quiet
DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends postgresql-{major}
"""
ENTER_TO_CHANGE = """\
set -eu
mount --bind /proc "$1/proc"
mount --bind /dev "$1/dev"
exec chroot "$1" sh -euc "$2"
"""
KEPT_TREES = 4


@dataclass(frozen=True)
class Rootfs:
    """A folder tree with the programs of the site image, and the major version of PostgreSQL to use of it."""

    path: Path
    major: int = IMAGE_MAJOR

    def command(self, argv: Sequence[str], *, binds: Sequence[Path] = ()) -> list[str]:
        """Return the command line that runs `argv` in the tree as the user `postgres`.

        Each folder of `binds` is seen inside at the same path as outside. The process that is started becomes the
        program itself: its process id is the program's, and signals reach it. Nothing else that it writes is kept.
        """
        enter = [str(CHECKOUT / "tests" / "enter-rootfs"), str(self.path)]
        folders = [str(folder.absolute()) for folder in binds]
        path = f"PATH=/usr/lib/postgresql/{self.major}/bin:/usr/sbin:/usr/bin"
        return ["unshare", "--mount", *enter, *folders, "--", "env", path, "HOME=/tmp", "LANG=C.UTF-8", *argv]


def ensure(major: int = MAJOR) -> Rootfs:
    """Return the tree with PostgreSQL of a major version, made first if it is missing (seen on stderr).

    The site image's own takes a minute or two, the newer one half a minute more. Raises CommandFailed where Debian's
    suite `experimental` cannot be reached or has no such package.
    """
    tool = [sys.executable, str(CHECKOUT / "hack" / "images"), "rootfs"]
    printed = subprocess.run(tool, check=True, stdout=subprocess.PIPE, text=True).stdout
    plain = Path(printed.strip())
    if major == IMAGE_MAJOR:
        return Rootfs(plain)
    try:
        return Rootfs(extended(plain, INSTALL_NEWER.format(major=major)), major)
    except CommandFailed as error:
        raise CommandFailed(
            f"PostgreSQL {major}, which the tests want beside {IMAGE_MAJOR}, cannot be installed from Debian's suite "
            f"experimental: see below whether the line is down or the package has moved to another suite "
            f"(tests/rootfs.py)\n{error}"
        ) from error


def extended(plain: Path, script: str) -> Path:
    """Return a copy of a tree in which a shell script has installed more; made if the cache does not hold it.

    Raises CommandFailed with the script's last words.
    """
    folder = cache_folder("rootfs-extended")
    tree = folder / content_key([("tree", plain.name.encode()), ("script", (ENTER_TO_CHANGE + script).encode())])
    with file_lock(folder / "lock"):
        if not tree.is_dir():
            with step(f"install {script.split()[-1]} beside the site image's programs"), replaced_whole(tree) as made:
                subprocess.run(["cp", "--archive", "--reflink=auto", str(plain), str(made)], check=True)
                shutil.copy("/etc/resolv.conf", made / "etc/resolv.conf")
                run(["unshare", "--mount", "sh", "-c", ENTER_TO_CHANGE, "sh", str(made), script])
            prune((path for path in folder.iterdir() if path.is_dir()), KEPT_TREES)
    mark_used(tree)
    return tree
