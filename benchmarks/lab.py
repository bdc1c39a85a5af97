"""Servers to measure on: with the settings that an installation has, on a real disk, synced."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres.mesh import DATABASE, OWNER, Site
from tests.postgres.servers import Server, make_template
from tests.rootfs import Rootfs

SETTINGS = {
    "shared_buffers": "128MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "track_commit_timestamp": "on",
}
"""No checkpoint falls into a measurement by itself; track_commit_timestamp is what native conflict detection needs."""

TRUST = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"


@dataclass
class Lab:
    """Where servers are made."""

    rootfs: Rootfs
    folder: Path
    template: Path

    @contextmanager
    def sites(self, name: str, count: int, extra_settings: dict[str, str] | None = None) -> Iterator[list[Site]]:
        """Start so many servers; remove them at the end."""
        servers: list[Server] = []
        try:
            for number in range(1, count + 1):
                server = Server.create(self.rootfs, self.template, self.folder / f"{name}{number}")
                servers.append(server)
                with (server.folder / "pgdata" / "postgresql.conf").open("a") as config:
                    config.writelines(f"{key} = '{value}'\n" for key, value in (extra_settings or {}).items())
                server.start()
            yield [Site(number, server) for number, server in enumerate(servers, start=1)]
        finally:
            for server in servers:
                server.remove()


@contextmanager
def lab(rootfs: Rootfs) -> Iterator[Lab]:
    """Make a folder on disk for servers; remove it at the end. Its path is short, as a socket's name must be."""
    folder = Path(tempfile.mkdtemp(prefix="ms-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        template = make_template(rootfs, folder / "template", SETTINGS, segment_megabytes=16)
        with (template / "pg_hba.conf").open("a") as hba:
            hba.write(TRUST)
        yield Lab(rootfs, folder, template)
    finally:
        shutil.rmtree(folder)


def make_database(site: Site) -> None:
    """Make the application's database and its owner, where our engine does not do it."""
    site.server.sql(f"create role {OWNER} login", database="postgres")
    site.server.sql(f"create database {DATABASE} owner {OWNER}", database="postgres")
