"""Installing the Debian packages that a tool needs, so that one command is enough on a fresh machine."""

import os
import shutil
from collections.abc import Mapping

from hack.common.command import CommandFailed, run
from hack.common.progress import step

APT_LOCK_TIMEOUT_SECONDS = 300


def ensure_programs(packages: Mapping[str, str]) -> None:
    """Install what is missing of `packages` (program -> its Debian package), without recommended packages.

    Raises CommandFailed, naming the packages, where that is not possible: not Debian or Ubuntu, or not root.
    """
    missing = sorted({package for program, package in packages.items() if not shutil.which(program)})
    if not missing:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise CommandFailed(f"{', '.join(missing)} not found: install them, or run this as root on Debian or Ubuntu")
    apt_get = ["apt-get", f"-oDPkg::Lock::Timeout={APT_LOCK_TIMEOUT_SECONDS}", "--quiet", "--yes"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"install {', '.join(missing)}"):
        run([*apt_get, "update"], env=env)
        run([*apt_get, "install", "--no-install-recommends", *missing], env=env)
