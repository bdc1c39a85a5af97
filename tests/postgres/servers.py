"""Real PostgreSQL servers for tests: made from one template, quick to start, rough to treat."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from multiserver.prepare.control_file import new_identifier
from multiserver.prepare.copy import make_own
from multiserver.prepare.new_log import begin_new_log, run_single_user
from multiserver.prepare.programs import run_program
from multiserver.prepare.rewound import DROP_SLOTS
from multiserver.replication.settings import required_settings
from tests.ports import free_port
from tests.rootfs import USER_ID, Rootfs
from tests.sites import is_deleted

FAST_AND_UNSAFE = {
    "fsync": "off",
    "max_wal_size": "256MB",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_prepared_transactions": "5",
    "listen_addresses": "127.0.0.1",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "restart_after_crash": "on",
}

HBA = """
local all,replication all trust
host all multiserver_peer 127.0.0.1/32 trust
"""


def make_template(
    rootfs: Rootfs, folder: Path, settings: Mapping[str, str] = FAST_AND_UNSAFE, segment_megabytes: int = 1
) -> Path:
    """Run initdb once; every server begins as a copy of the result."""
    folder.mkdir()
    os.chown(folder, USER_ID, USER_ID)
    data = folder / "pgdata"
    argv = [
        "initdb",
        "-D",
        str(data),
        "-U",
        "postgres",
        "--no-sync",
        "-A",
        "trust",
        f"--wal-segsize={segment_megabytes}",
        "--encoding=UTF8",
    ]
    subprocess.run(rootfs.command(argv, binds=[folder]), check=True, stdout=subprocess.DEVNULL)
    with (data / "postgresql.conf").open("a") as config:
        config.writelines(f"{name} = '{value}'\n" for name, value in (required_settings() | dict(settings)).items())
    (data / "pg_hba.conf").write_text(HBA)
    return data


def eventually(
    condition: Callable[[], Any],
    what: str,
    seconds: float = 60.0,
    explain: Callable[[], str] = lambda: "",
    pause_seconds: float = 0.05,
) -> Any:
    """Wait until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}\n{explain()}")
        time.sleep(pause_seconds)
    return found


@dataclass
class Server:
    """One PostgreSQL server."""

    rootfs: Rootfs
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    connections: dict[tuple[str, str], psycopg.Connection[Any]] = field(default_factory=dict)

    @classmethod
    def create(cls, rootfs: Rootfs, template: Path, folder: Path) -> "Server":
        """Copy the template and give the server a new system identifier."""
        server = cls.without_data(rootfs, folder)
        subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(server.data)], check=True)
        server.run(["pg_resetwal", "--force", "--next-wal-file=000000010000000000000010", str(server.data)])
        return server

    @classmethod
    def without_data(cls, rootfs: Rootfs, folder: Path) -> "Server":
        """Give a server that is to be filled from another one."""
        folder.mkdir()
        os.chown(folder, USER_ID, USER_ID)
        return cls(rootfs, folder, free_port())

    @property
    def data(self) -> Path:
        """Where its data is."""
        return self.folder / "pgdata"

    def fill_from(self, donor: "Server", database: str) -> None:
        """Copy a running server in place of what is here, as `multiserver prepare` does: the data is nobody's yet."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.run(
            [
                "pg_basebackup",
                f"--host={donor.folder}",
                f"--port={donor.port}",
                "--username=postgres",
                f"--pgdata={self.data}",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--no-sync",
            ],
            donor.folder,
        )
        make_own(self.data, self.data / "postgresql.conf", database, self.run_with_text)

    def run_with_text(self, argv: Sequence[str], text: str = "", on_line: Callable[[str], None] | None = None) -> str:
        """Run a program of PostgreSQL that reads a text; what it says goes into the server's log."""
        return run_program(self.rootfs.command(argv, binds=[self.folder]), text, on_line or self._log)

    def _log(self, line: str) -> None:
        with (self.folder / "log").open("a") as log:
            log.write(f"{line}\n")

    def run(self, argv: Sequence[str], *folders: Path) -> None:
        """Run a program of PostgreSQL that sees the server's folder and these others."""
        subprocess.run(self.rootfs.command(argv, binds=[self.folder, *folders]), check=True, stdout=subprocess.DEVNULL)

    def save(self, name: str) -> Path:
        """Keep a copy of the stopped server's data, as a snapshot of its volume."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.data), str(self.folder / name)], check=True)
        return self.folder / name

    def put_back(self, saved: Path) -> None:
        """Make a saved copy the stopped server's data again."""
        shutil.rmtree(self.data)
        saved.rename(self.data)

    def begin_anew(self, database: str, how: signal.Signals = signal.SIGINT) -> None:
        """Restart with a log that begins anew, as `multiserver prepare` does at a site that was put back in time."""
        self.stop(how)
        run_single_user(self.data, self.data / "postgresql.conf", database, DROP_SLOTS, self.run_with_text)
        begin_new_log(self.data, new_identifier(), self.run_with_text)
        self.start()

    def start(self) -> None:
        """Start and wait until it answers; repeated while remains of a killed predecessor are in the way."""
        eventually(self._try_start, f"server in {self.folder} starts")

    def _try_start(self) -> bool:
        argv = ["postgres", "-D", str(self.data), "-k", str(self.folder), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.rootfs.command(argv, binds=[self.folder]), stdout=log, stderr=log)
        while self.process.poll() is None:
            try:
                self.sql("select 1", database="postgres")
                return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT in order, SIGQUIT without, SIGKILL as a crash of the machine would."""
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=120)
            self.process = None

    def remove(self) -> None:
        """Stop and delete everything."""
        self.stop(signal.SIGQUIT)
        eventually(lambda: is_deleted(self.folder), f"{self.folder} is deleted")

    def connect(self, database: str, user: str) -> psycopg.Connection[Any]:
        """Open a connection of its own."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, dbname=database, user=user, autocommit=True, row_factory=tuple_row
        )

    def connection(self, database: str, user: str) -> psycopg.Connection[Any]:
        """Return the kept connection of a user."""
        kept = self.connections.get((database, user))
        if kept is None or kept.closed:
            kept = self.connections[database, user] = self.connect(database, user)
        return kept

    def sql(self, statement: str, parameters: Any = None, *, database: str, user: str = "postgres") -> list[Any]:
        """Run a statement; return its rows, single columns unwrapped."""
        cursor = self.connection(database, user).execute(statement.encode(), parameters)
        if cursor.description is None:
            return []
        return [row[0] if len(row) == 1 else row for row in cursor.fetchall()]

    def last_words(self) -> str:
        """Return the end of the server's log."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@contextmanager
def servers(rootfs: Rootfs, template: Path, folder: Path, count: int) -> Iterator[list[Server]]:
    """Start so many servers; remove them at the end."""
    made = [Server.create(rootfs, template, folder / f"server{number}") for number in range(1, count + 1)]
    try:
        for server in made:
            server.start()
        yield made
    finally:
        for server in made:
            server.remove()
