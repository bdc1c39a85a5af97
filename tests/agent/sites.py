"""Sites with a real PostgreSQL each: TLS, access rules and replication as in the product, on loopback."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from multiserver.agent.agent import Agent
from multiserver.agent.settings import AgentSettings
from multiserver.api import paths as pod
from multiserver.api.names import Names
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.api.spec import Database
from multiserver.backup.config import archive_command, render
from multiserver.backup.process import Programs
from multiserver.identity.certificates import KeyPair, make_operator, make_site, make_syncthing
from multiserver.postgres.connect import Connection, Target, connect
from multiserver.prepare.files import prepare_files
from multiserver.prepare.repository import prepare_repository, prepare_secrets
from multiserver.replication import install, links, slots, subscriptions
from multiserver.resources.postgres_access import certificate_names, host_based_access
from tests.files.line import Line
from tests.files.mesh import SERVE
from tests.ports import free_port
from tests.rootfs import Rootfs
from tests.sites import CLUSTER, NAMESPACE, SiteTree, eventually, member, site_config, site_tree

PASSWORD = "a password for tests"
OPERATOR = make_operator()
NONE: Mapping[str, tuple[Rootfs, Path]] = {}


@dataclass
class Site:
    """One site: its tree, its keys, its server and the lines to its peers."""

    tree: SiteTree
    server_number: int
    tls: KeyPair
    syncthing: KeyPair = field(default_factory=make_syncthing)
    port: int = field(default_factory=free_port)
    files_port: int = field(default_factory=free_port)
    lines: dict[str, Line] = field(default_factory=dict)
    """The line from this site to each peer's database."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.tree.name

    @property
    def settings(self) -> AgentSettings:
        """The surroundings of the site's agent; its ports are any free ones."""
        programs = Programs(wrap=self.tree.command)
        return AgentSettings(
            self.tree.paths, programs, self.port, self.files_listen, host="127.0.0.1", api_port=0, probe_port=0
        )

    @property
    def files_listen(self) -> str:
        return f"tcp://127.0.0.1:{self.files_port}"

    def target(self, database: str = "app") -> Target:
        return Target(str(self.tree.paths.run), database, port=self.port)

    def sql(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run a statement as administrator; give its rows."""
        with psycopg.connect(self.target().conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start the server and wait until it answers."""
        paths = self.tree.paths
        options = {
            "unix_socket_directories": paths.run,
            "port": self.port,
            "ssl": "on",
            "ssl_cert_file": paths.at(pod.CERTIFICATE),
            "ssl_key_file": paths.at(pod.KEY),
            "ssl_ca_file": paths.trust,
            "hba_file": paths.at(pod.POSTGRES_ACCESS),
            "ident_file": paths.at(pod.POSTGRES_IDENT),
            "archive_mode": "on",
            "archive_command": archive_command(paths),
        }
        argv = ["postgres", "-D", str(paths.pgdata), *(f"--{name}={value}" for name, value in options.items())]
        self._spawn("postgres", argv)
        eventually(self._answers, f"the server of {self.name} answers")

    def start_files(self) -> None:
        """Start Syncthing and wait until it answers."""
        self._spawn("syncthing", [*SERVE, f"--home={self.tree.paths.syncthing_home}"])
        eventually(self.tree.paths.syncthing_socket.exists, f"the Syncthing of {self.name} answers")

    def stop(self, program: str = "postgres", how: signal.Signals = signal.SIGINT) -> None:
        """Stop a program."""
        if process := self.processes.pop(program, None):
            process.send_signal(how)
            process.wait(timeout=120)

    def _spawn(self, program: str, argv: Sequence[str]) -> None:
        with (self.tree.paths.root / f"{program}.log").open("ab") as log:
            self.processes[program] = subprocess.Popen(self.tree.command(argv), stdout=log, stderr=log)

    def write(self, path: Path, text: str) -> None:
        """Put a file into the tree, readable by the site's user only."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    def _answers(self) -> bool:
        assert self.processes["postgres"].poll() is None, (self.tree.paths.root / "postgres.log").read_text()
        try:
            psycopg.connect(self.target("postgres").conninfo()).close()
        except psycopg.OperationalError:
            return False
        return True


@dataclass
class Mesh:
    """All sites, which reach each other's databases through lines."""

    sites: tuple[Site, ...]

    def __getitem__(self, name: str) -> Site:
        return next(site for site in self.sites if site.name == name)

    @property
    def trust(self) -> str:
        """The certificates of all sites and the operator."""
        return "".join(pair.certificate_pem for pair in (*(site.tls for site in self.sites), OPERATOR))

    def config(self, site: Site, names: Sequence[str] = ()) -> SiteConfig:
        """Give what a site is told if the sites `names` take part; all if there are none."""
        members = [self._member(site, other) for other in self.sites if not names or other.name in names]
        return site_config(site.name, members)

    def mount(self, site: Site) -> None:
        """Give a site what the operator would."""
        paths = site.tree.paths
        site.tree.mount(self.config(site), site.syncthing)
        access = host_based_access(Database()).replace("peer\n", "trust\n")  # The tests are root.
        site.write(paths.at(pod.POSTGRES_ACCESS), access)
        site.write(paths.at(pod.POSTGRES_IDENT), certificate_names())
        site.write(paths.at(pod.POSTGRES_CONFIG), "")
        site.write(paths.pgbackrest_config, render(paths, site.port))
        site.write(paths.at(pod.CERTIFICATE), site.tls.certificate_pem)
        site.write(paths.at(pod.KEY), site.tls.key_pem)
        site.write(paths.trust, self.trust)
        site.write(paths.at(pod.APPLICATION) / "password", PASSWORD)
        prepare_secrets(paths)
        prepare_repository(paths)
        prepare_files(paths, site.files_listen)
        site.tree.hand_over()

    def heal_all(self) -> None:
        for site in self.sites:
            for line in site.lines.values():
                line.heal()

    def _member(self, site: Site, other: Site) -> Member:
        port = other.port if other is site else site.lines[other.name].port
        told = member(other.name, other.server_number, other.syncthing, other.files_port)
        return told.model_copy(update={"host": "localhost", "postgres_port": port})


@contextmanager
def mesh_of(
    names: Sequence[str], rootfs: Rootfs, template: Path, others: Mapping[str, tuple[Rootfs, Path]] = NONE
) -> Iterator[Mesh]:
    """Make sites whose servers run and replicate to each other; no agent runs yet.

    `others` have programs and a template of their own.
    """
    of_site = dict.fromkeys(names, (rootfs, template)) | dict(others)
    with ExitStack() as stack:
        sites = tuple(
            Site(
                stack.enter_context(site_tree(name, of_site[name][0])),
                number,
                make_site(Names(CLUSTER, NAMESPACE), name),
            )
            for number, name in enumerate(names, start=1)
        )
        for site in sites:
            peers = (other for other in sites if other is not site)
            site.lines = {peer.name: stack.enter_context(Line(peer.port)) for peer in peers}
        mesh = Mesh(sites)
        for site in sites:
            mesh.mount(site)
            _copy_template(site, of_site[site.name][1])
            for program in ("postgres", "syncthing"):
                stack.callback(site.stop, program, signal.SIGQUIT)
            site.start()
            site.start_files()
        asyncio.run(_replicate(sites))
        yield mesh


def _copy_template(site: Site, template: Path) -> None:
    """Give the site a database of its own: the template's with another system identifier."""
    pgdata = site.tree.paths.pgdata
    shutil.copytree(template, pgdata, copy_function=shutil.copy)
    pgdata.chmod(0o700)
    site.tree.hand_over()
    site.tree.run(["pg_resetwal", "--force", "--next-wal-file=000000010000000000000010", str(pgdata)])


async def _replicate(sites: Sequence[Site]) -> None:
    """Install the engine, make the slots, then subscribe, as the operator does."""
    for site in sites:
        async with connect(site.target("postgres")) as connection:
            await install.ensure_roles(connection, "app")
            await install.ensure_database(connection, "app", "app")
        async with connect(site.target()) as connection:
            await _prepare(connection, site, sites)
    for site in sites:
        async with connect(site.target()) as connection:
            for peer in sites:
                if peer is not site:
                    [(incarnation,)] = peer.sql("select incarnation::text from multiserver.site_settings")
                    await subscriptions.ensure_subscription(
                        connection, peer.server_number, _conninfo(site, peer), incarnation
                    )


async def _prepare(connection: Connection, site: Site, sites: Sequence[Site]) -> None:
    await install.ensure_engine(connection)
    names = {other.server_number: other.name for other in sites}
    await links.ensure_site(connection, site.server_number, 1, names)
    wanted = links.desired_links(site.server_number, names)
    for number in wanted.slots_for:
        await slots.ensure_slot(connection, number)
    await links.ensure_open(connection, wanted.slots_for)


def _conninfo(site: Site, peer: Site) -> str:
    return links.peer_conninfo(
        "localhost", site.lines[peer.name].port, "app", site.settings.certificate, site.server_number
    )


@asynccontextmanager
async def running(*sites: Site) -> AsyncIterator[tuple[Agent, ...]]:
    """Run the agents of these sites in this process."""
    stop = asyncio.Event()
    agents = tuple(Agent(site.settings) for site in sites)
    tasks = [asyncio.create_task(agent.run(stop)) for agent in agents]
    try:
        yield agents
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
