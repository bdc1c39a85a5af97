"""The Debian packages that the clusters need. A program that is already there, from wherever, is left alone."""

import os
from collections.abc import Mapping
from pathlib import Path

from hack.common.command import run
from hack.common.packages import ensure_programs
from local_cluster.errors import LocalClusterError

# debootstrap and buildah are for the project's own images, which a cluster without registry cannot do without.
PACKAGES: Mapping[str, str] = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/lib/cni/host-local": "containernetworking-plugins",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}


def ensure() -> None:
    """Install what is missing. Raises LocalClusterError if this is not root, CommandFailed if apt-get fails."""
    if os.geteuid() != 0:
        raise LocalClusterError("network namespaces and mounts need root; run local-cluster as root, e.g. with sudo")
    ensure_programs(PACKAGES)


def static_busybox(folder: Path) -> Path:
    """Unpack Debian's statically linked busybox below `folder` and return its path.

    It is not installed, because it would replace the machine's own busybox.
    """
    run(["apt-get", "--quiet", "update"])
    # Not as the user _apt: the cache is usually in a home which that user cannot enter.
    run(["apt-get", "--quiet", "-oAPT::Sandbox::User=root", "download", "busybox-static"], cwd=folder)
    (package,) = folder.glob("busybox-static_*.deb")
    run(["dpkg-deb", "--extract", str(package), str(folder / "unpacked")])
    return folder / "unpacked" / "bin" / "busybox"
