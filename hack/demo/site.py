"""A site's server as its users have it: SQL as the application, files in a folder, backups."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from hack.demo.kubernetes import Kubernetes
from hack.demo.waiting import NotSeenError, wait_for

FOLDERS = "/var/lib/multiserver/files/folders"
ARRIVAL_SECONDS = 60
"""How long a row or a file may take to another site."""


@dataclass(frozen=True)
class Site:
    """One site of a cluster."""

    kubernetes: Kubernetes
    namespace: str
    cluster: str
    name: str

    @property
    def pod(self) -> str:
        """Name of its pod."""
        return f"{self.cluster}-{self.name}-0"

    def execute(self, container: str, *command: str, stdin: str = "", timeout_seconds: float = 120) -> str:
        """Run a command in a container of the pod; give what it prints."""
        interactive = ["-i"] if stdin else []
        return self.kubernetes.kubectl(
            "exec", *interactive, "-n", self.namespace, self.pod, "-c", container, "--", *command,
            stdin=stdin, timeout_seconds=timeout_seconds,
        )  # fmt: skip

    def sql(self, statement: str) -> str:
        """Run SQL as the application's role; give the rows without headings."""
        return self.administer(f"set role app; {statement}")

    def administer(self, statement: str) -> str:
        """Run SQL as administrator."""
        options = ["-d", "app", "-U", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"]
        return self.execute("postgres", "psql", *options, "-c", statement).strip()

    def await_sql(self, query: str, wanted: str, timeout_seconds: float = ARRIVAL_SECONDS) -> None:
        """Wait until the application's query gives what is wanted. Raises NotSeenError."""
        wait_for(f"{self.name}: {query}", lambda: self.sql(query), until=wanted.__eq__, timeout_seconds=timeout_seconds)

    def drop_file(self, folder: str, name: str, content: str) -> str:
        """Put a file into a folder, whole or not at all; give its SHA-256."""
        place = f"{FOLDERS}/{folder}/{name}"
        self.execute("agent", "python3", "-c", _WRITE_WHOLE, place, stdin=content)
        return hashlib.sha256(content.encode()).hexdigest()

    def checksum(self, folder: str, name: str) -> str:
        """Give a file's SHA-256. Raises CommandFailed if it is not there."""
        return self.execute("agent", "sha256sum", f"{FOLDERS}/{folder}/{name}").split()[0]

    def await_file(self, folder: str, name: str, checksum: str, timeout_seconds: float = ARRIVAL_SECONDS) -> None:
        """Wait until the file is here with this SHA-256. Raises NotSeenError."""
        wait_for(
            f"{self.name}: file {folder}/{name}",
            lambda: self.checksum(folder, name),
            until=checksum.__eq__,
            timeout_seconds=timeout_seconds,
        )

    def back_up(self, kind: str, *, timeout_seconds: float = 300) -> str:
        """Run the site's backup job now and give its log. Raises NotSeenError if it does not succeed in time."""
        job = f"{self.cluster}-{self.name}-{kind}-{int(time.time())}"
        source = f"cronjob/{self.cluster}-{self.name}-backup-{kind}"
        self.kubernetes.kubectl("create", "job", "-n", self.namespace, job, f"--from={source}")
        status = wait_for(
            f"backup job {job}",
            lambda: self.kubernetes.get("job", "-n", self.namespace, job)["status"],
            until=lambda status: bool(status.get("succeeded") or status.get("failed")),
            timeout_seconds=timeout_seconds,
        )
        log = self.kubernetes.kubectl("logs", "-n", self.namespace, f"job/{job}")
        if not status.get("succeeded"):
            raise NotSeenError(f"backup job {job} failed: {log}")
        return log

    def backups(self) -> list[dict[str, Any]]:
        """Give what `pgbackrest info` lists."""
        stanzas: list[dict[str, Any]] = json.loads(self.execute("agent", *_PGBACKREST_INFO, "--output=json"))
        return [backup for stanza in stanzas for backup in stanza["backup"]]


_PGBACKREST_INFO = (
    "pgbackrest",
    "--config=/etc/multiserver/config/pgbackrest.conf",
    "--config-include-path=/run/multiserver/pgbackrest.d",
    "--stanza=site",
    "info",
)
"""As docs/backups.md has it."""

_WRITE_WHOLE = """
import os, sys
place = sys.argv[1]
with open(place + ".part", "w") as file:
    file.write(sys.stdin.read())
os.rename(place + ".part", place)
"""
"""Syncthing leaves out *.part, so no peer ever sees half a file."""
