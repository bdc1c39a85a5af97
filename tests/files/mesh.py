"""Real Syncthings on loopback, each started from the configuration that the product renders."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from multiserver.api.siteconfig import SiteConfig
from multiserver.files.client import Syncthing
from multiserver.files.config import FilesConfig, desired
from multiserver.files.health import FilesHealth
from multiserver.files.observe import observe
from multiserver.identity.certificates import KeyPair, make_syncthing
from multiserver.prepare.files import prepare_files
from tests.files.line import Line
from tests.ports import free_port
from tests.rootfs import Rootfs
from tests.sites import SiteTree, eventually, member, site_config, site_tree

SERVE = ("syncthing", "serve", "--no-browser", "--no-default-folder", "--no-restart", "--no-upgrade")

PAUSE_SECONDS = 0.2
OBSERVATIONS_MAX = 300


@dataclass
class Site:
    """One site with its Syncthing."""

    tree: SiteTree
    identity: KeyPair
    port: int = field(default_factory=free_port)
    config: SiteConfig | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.tree.name

    @property
    def told(self) -> SiteConfig:
        """What the site is told at present."""
        assert self.config, "the mesh tells the site first"
        return self.config

    @property
    def wanted(self) -> FilesConfig:
        """What its Syncthing should be."""
        return desired(self.told, self.tree.paths.folders, self.listen)

    @property
    def listen(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def tell(self, config: SiteConfig) -> None:
        """Put the configuration where the pod would see it."""
        self.config = config
        self.tree.mount(config, self.identity)

    def start(self) -> None:
        """Prepare the volume and start Syncthing, as the pod does; wait until it answers."""
        prepare_files(self.tree.paths, self.listen)
        self.tree.hand_over()
        argv = [*SERVE, f"--home={self.tree.paths.syncthing_home}"]
        with (self.tree.paths.root / "log").open("ab") as log:
            self.process = subprocess.Popen(self.tree.command(argv), stdout=log, stderr=log, start_new_session=True)
        eventually(self._answers, f"the Syncthing of {self.name} answers")

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.tree.paths.root / "log").read_text()
        return self.tree.paths.syncthing_socket.exists()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop Syncthing: both its processes, of which one watches over the other."""
        if self.process:
            os.killpg(self.process.pid, how)
            self.process.wait(timeout=120)
            self.process = None
            self.tree.paths.syncthing_socket.unlink(missing_ok=True)

    def client(self) -> Syncthing:
        """Give a client of its REST interface."""
        return Syncthing(self.tree.paths.syncthing_socket, self.tree.paths.syncthing_api_key.read_text())

    async def health_when(self, condition: Callable[[FilesHealth], bool]) -> FilesHealth:
        """Observe until the health is as awaited, and give it."""
        async with self.client() as client:
            for _ in range(OBSERVATIONS_MAX):
                if condition(health := await observe(client, self.told)):
                    return health
                await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"{self.name} never came to it: {health}")

    def path(self, file: str, folder: str = "documents") -> Path:
        return self.tree.paths.folders / folder / file

    def drop(self, file: str, text: str, folder: str = "documents") -> None:
        """Drop a file as an application does: under another name first."""
        path = self.path(file, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(text)
        part.rename(path)
        self.tree.hand_over()

    def text(self, file: str, folder: str = "documents") -> str | None:
        """Give the text of a file, None if it is not there."""
        path = self.path(file, folder)
        return path.read_text() if path.exists() else None

    def texts(self) -> dict[str, str]:
        """Give all visible files of the folder documents by their names."""
        folder = self.tree.paths.folders / "documents"
        return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}


def all_connected(health: FilesHealth) -> bool:
    """Tell whether a site reaches all its peers."""
    return all(peer.reachable for peer in health.peers.values())


@dataclass
class Mesh:
    """Sites that dial each other through lines, one for each direction."""

    sites: Sequence[Site]
    lines: dict[tuple[str, str], Line]

    def config(self, site: Site, names: Sequence[str], folders: Sequence[str] = ("documents",)) -> SiteConfig:
        """Give what a site is told, if only the sites `names` take part."""
        members = [
            member(other.name, number, other.identity, self._port(site, other))
            for number, other in enumerate(self.sites, start=1)
            if other.name in names
        ]
        return site_config(site.name, members, folders)

    def tell_all(self, names: Sequence[str], folders: Sequence[str] = ("documents",)) -> None:
        """Tell these sites of each other."""
        for site in self.sites:
            if site.name in names:
                site.tell(self.config(site, names, folders))

    def cut(self, name: str) -> None:
        """Cut a site off from all others."""
        self._each(name, Line.cut)

    def heal(self, name: str) -> None:
        """Let the site reach the others again."""
        self._each(name, Line.heal)

    def _each(self, name: str, act: Callable[[Line], None]) -> None:
        for ends, line in self.lines.items():
            if name in ends:
                act(line)

    def _port(self, site: Site, other: Site) -> int:
        return other.port if site is other else self.lines[site.name, other.name].port


@contextmanager
def mesh_of(names: Sequence[str], rootfs: Rootfs) -> Iterator[Mesh]:
    """Make sites with identities and lines between them; nothing is told or started yet."""
    with ExitStack() as stack:
        sites = [Site(stack.enter_context(site_tree(name, rootfs)), make_syncthing()) for name in names]
        for site in sites:
            stack.callback(site.stop, signal.SIGKILL)
        lines = {
            (site.name, other.name): stack.enter_context(Line(other.port))
            for site in sites
            for other in sites
            if site is not other
        }
        yield Mesh(sites, lines)
