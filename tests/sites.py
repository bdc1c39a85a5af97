"""Sites on this machine: the tree of each site's pod below a short path, with what the operator puts into it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.backup.config import render
from multiserver.files.identity import device_id
from multiserver.identity.certificates import KeyPair, make_syncthing
from multiserver.settings import SitePaths
from tests.rootfs import USER_ID, Rootfs

CLUSTER, NAMESPACE = "lab", "default"


@dataclass(frozen=True)
class SiteTree:
    """The tree of one site, and the programs that see it."""

    name: str
    paths: SitePaths
    rootfs: Rootfs

    def command(self, argv: Sequence[str]) -> list[str]:
        """Give the command line that runs a program of the site image on this tree, as the images' user."""
        return self.rootfs.command(argv, binds=[self.paths.root])

    def run(self, argv: Sequence[str]) -> str:
        """Run such a program to its end and give its output."""
        return subprocess.run(self.command(argv), check=True, capture_output=True, text=True).stdout

    def hand_over(self) -> None:
        """Give the tree to the images' user, as fsGroup does; the tests themselves are root."""
        subprocess.run(["chown", "-R", f"{USER_ID}:{USER_ID}", str(self.paths.root)], check=True)

    def mount(self, config: SiteConfig, syncthing: KeyPair, passphrase: str = "a passphrase for tests") -> None:
        """Put in place what the operator gives the pod: the ConfigMap and the Secrets."""
        contents = {
            self.paths.site_config: config.model_dump_json(by_alias=True),
            self.paths.pgbackrest_config: render(self.paths),
            self.paths.identity / "syncthing.crt": syncthing.certificate_pem,
            self.paths.identity / "syncthing.key": syncthing.key_pem,
            self.paths.passphrase: passphrase,
        }
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for volume in (self.paths.data, self.paths.files, self.paths.repository, self.paths.run):
            volume.mkdir(parents=True, exist_ok=True)
        self.hand_over()


@contextmanager
def site_tree(name: str, rootfs: Rootfs) -> Iterator[SiteTree]:
    """Make the tree below a path that is short enough for the name of a unix socket; remove it at the end."""
    root = Path(tempfile.mkdtemp(prefix=f"ms-{name}-"))
    os.chown(root, USER_ID, USER_ID)
    try:
        yield SiteTree(name, SitePaths(root), rootfs)
    finally:
        eventually(lambda: is_deleted(root), f"{root} is deleted")


def is_deleted(folder: Path) -> bool:
    """Delete a folder; a child that outlives its server for a moment may still write there, then it is not."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@contextmanager
def full_volume(folder: Path) -> Iterator[None]:
    """Mount a file system that is full at a folder, while the block runs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=0777", "full", str(folder)], check=True)
    try:
        (folder / "filler").write_bytes(bytes(4096))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def member(name: str, server_number: int, syncthing: KeyPair, files_port: int = 22000) -> Member:
    """Give a site as its peers are told of it, reached on loopback."""
    return Member(
        name=name,
        server_number=server_number,
        host="127.0.0.1",
        files_port=files_port,
        syncthing_device_id=device_id(syncthing.certificate_pem.encode()),
    )


def site_config(site: str, members: Sequence[Member], folders: Sequence[str] = ("documents",)) -> SiteConfig:
    """Give what a site is told of itself and the others."""
    return SiteConfig(
        cluster=CLUSTER,
        namespace=NAMESPACE,
        site=site,
        schema_site=members[0].name,
        database="app",
        owner="app",
        folders=tuple(folders),
        members=tuple(members),
    )


def single_site(name: str = "berlin") -> tuple[SiteConfig, KeyPair]:
    """Give the configuration of a site without peers, and its Syncthing identity."""
    syncthing = make_syncthing()
    return site_config(name, [member(name, 1, syncthing)]), syncthing


def eventually(condition: Callable[[], Any], what: str, seconds: float = 60.0, pause_seconds: float = 0.05) -> Any:
    """Wait until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause_seconds)
    return found
