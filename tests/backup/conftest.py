"""A site with a real PostgreSQL that archives, and real pgBackRest and restic."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from multiserver.backup.archive import QUERY
from multiserver.backup.config import archive_command
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.backup.process import Programs
from multiserver.backup.restic import Restic
from multiserver.prepare.database import prepare_database
from multiserver.prepare.files import prepare_files
from multiserver.prepare.repository import prepare_repository, prepare_secrets
from tests import rootfs as rootfs_module
from tests.sites import SiteTree, eventually, single_site, site_tree


@dataclass
class Server:
    """The PostgreSQL of a site."""

    tree: SiteTree
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """In place of those of a site; they take effect at a start."""

    def start(self) -> None:
        """Make the database if there is none, start, and wait for an answer."""
        paths = self.tree.paths
        prepare_database(paths, print, lambda argv, text="", on_line=print: self.tree.run(argv))
        self.tree.hand_over()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": paths.run,
            "archive_mode": "on",
            "archive_command": archive_command(paths),
            "fsync": "off",
            **self.settings,
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with (paths.root / "log").open("ab") as log:
            argv = self.tree.command(["postgres", "-D", str(paths.pgdata), *options])
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        ask = self.tree.command(["pg_isready", "-h", str(paths.run)])
        eventually(lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0, "the server answers")

    def stop(self) -> None:
        """Stop at once."""
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=120)
            self.process = None

    def sql(self, statement: str) -> str:
        """Run a statement as the administrator and give psql's plain output."""
        return self.tree.run(["psql", "-h", str(self.tree.paths.run), "-U", "postgres", "-Atc", statement]).strip()

    def archiver(self) -> list[str]:
        """Give the row on archiving."""
        return self.sql(QUERY).split("|")


@pytest.fixture(scope="session")
def rootfs() -> rootfs_module.Rootfs:
    return rootfs_module.ensure()


@pytest.fixture
def tree(rootfs: rootfs_module.Rootfs) -> Iterator[SiteTree]:
    """A prepared site, without a database yet."""
    with site_tree("berlin", rootfs) as made:
        made.mount(*single_site())
        prepare_secrets(made.paths)
        prepare_repository(made.paths)
        prepare_files(made.paths)
        made.hand_over()
        yield made


@pytest.fixture
def server(tree: SiteTree) -> Iterator[Server]:
    """The site's running PostgreSQL."""
    made = Server(tree)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def pgbackrest(tree: SiteTree) -> PgBackRest:
    return PgBackRest(tree.paths, Programs(wrap=tree.command))


@pytest.fixture
def restic(tree: SiteTree) -> Restic:
    return Restic(tree.name, tree.paths, Programs(wrap=tree.command))
