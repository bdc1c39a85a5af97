"""A site's pod as Kubernetes runs it, without Kubernetes: its containers' configuration, environment and commands."""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from multiserver.api import paths as pod
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.backup.process import Programs
from multiserver.backup.restic import Restic
from multiserver.prepare.database import prepare_database
from multiserver.resources.configmap import config_map
from multiserver.resources.objects import Object
from multiserver.resources.statefulset import stateful_set
from tests.agent.sites import Mesh, Site, mesh_of
from tests.clusters import a_blueprint, a_cluster
from tests.rootfs import Rootfs
from tests.sites import SiteTree, eventually
from tests.unit.docs.pages import CHECKOUT, blocks

PAGE = CHECKOUT / "docs" / "backups.md"
EXAMPLE_MOMENT = "2026-11-24 09:00:00+00"
EXAMPLE_LABEL = "20261124-021700F"

_OF_THE_POD = re.compile(r"(?<![\w.-])/(var/lib/multiserver|run/multiserver|etc/multiserver|tmp)\b")
EXEC_SECONDS_MAX = 120.0


@dataclass
class Pod:
    """The pod of a site whose server runs."""

    site: Site
    names: Sequence[str]
    """All sites of the cluster."""
    _claim_is_deleted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        blueprint = a_blueprint(a_cluster(*self.names))
        containers = stateful_set(blueprint, self.site.name)["spec"]["template"]["spec"]["containers"]
        self._containers: dict[str, Object] = {container["name"]: container for container in containers}
        conf = self.here(config_map(blueprint, self.site.name)["data"][pod.POSTGRES_CONFIG.name])
        # The last ones win. More connections than PostgreSQL's own default, as a site may well have.
        conf += f"port = {self.site.port}\nlisten_addresses = '127.0.0.1'\nfsync = off\nmax_connections = 150\n"
        self.site.write(self.configuration, conf)
        self.folder.mkdir()

    @property
    def tree(self) -> SiteTree:
        return self.site.tree

    @property
    def configuration(self) -> Path:
        """PostgreSQL's configuration file, which the operator writes."""
        return self.tree.paths.at(pod.POSTGRES_CONFIG)

    @property
    def folder(self) -> Path:
        """/tmp of the pod."""
        return self.tree.paths.root / "tmp"

    @property
    def pgbackrest(self) -> PgBackRest:
        return PgBackRest(self.tree.paths, Programs(wrap=self.tree.command))

    @property
    def restic(self) -> Restic:
        return Restic(self.site.name, self.tree.paths, Programs(wrap=self.tree.command))

    def here(self, text: str) -> str:
        """Give a text with the pod's paths as they are on this machine."""
        return _OF_THE_POD.sub(lambda found: f"{self.tree.paths.root}/{found[1]}", text)

    def start(self) -> None:
        """Start what the container postgres runs."""
        self.tree.hand_over()
        self.site._spawn("postgres", self._inside("postgres", self._containers["postgres"]["command"]))
        eventually(self._answers, "the server answers")

    def restart(self) -> None:
        """Do what follows when the pod is deleted, and the claim of its data before, if it was."""
        self.site.stop()
        if self._claim_is_deleted:
            shutil.rmtree(self.tree.paths.data)
            self.tree.paths.data.mkdir()
            self._claim_is_deleted = False
        self.tree.hand_over()
        prepare_database(self.tree.paths, print, lambda argv, text="", on_line=print: self.tree.run(argv))
        self.start()
        asyncio.run(self.pgbackrest.ensure_stanza())  # As the agent does once it has started.

    def back_up(self) -> str:
        """Make a backup of the data; give its label."""
        asyncio.run(self.pgbackrest.back_up(lambda words: None))
        label = asyncio.run(self.pgbackrest.report()).last_label
        assert label
        return label

    def follow(self, commands: Iterable[Sequence[str]]) -> bytes:
        """Do what commands of the documentation do, and give what they print."""
        return b"".join(self._do(list(words)) for words in commands)

    def _do(self, words: list[str]) -> bytes:
        match words:
            case ["kubectl", "exec", name, "--container", container, "--", *argv] if name == f"lab-{self.site.name}-0":
                return self._exec(container, argv)
            case ["kubectl", "delete", "pvc", claim, "--wait=false"] if claim == f"lab-{self.site.name}-data":
                self._claim_is_deleted = True
            case ["kubectl", "delete", "pod", name] if name == f"lab-{self.site.name}-0":
                self.restart()
            case ["kubectl", "create", "job", "--from", job, _] if job == f"cronjob/lab-{self.site.name}-backup-data":
                self.back_up()
            case _:
                raise ValueError(f"no test knows this command: {shlex.join(words)}")
        return b""

    def _exec(self, container: str, argv: list[str]) -> bytes:
        inside = self._inside(container, argv)
        if argv[0] == "pg_isready":
            eventually(lambda: self._run(inside).returncode == 0, "the restored server accepts connections")
        done = self._run(inside)
        assert done.returncode == 0, f"{shlex.join(argv)}: {done.stdout!r} {done.stderr!r}"
        if (server := self.site.processes.get("postgres")) and server.poll() is not None:
            self.site.stop()  # It was ended by the command.
        return done.stdout

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        command = self.tree.command(argv)
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=EXEC_SECONDS_MAX
        )

    def _inside(self, container: str, argv: Sequence[str]) -> list[str]:
        """Give the command line that runs in a container, with its environment."""
        variables = self._containers[container]["env"]
        given = [f"{variable['name']}={self.here(variable['value'])}" for variable in variables]
        return ["env", *given, f"PGPORT={self.site.port}", *map(self.here, argv)]

    def _answers(self) -> bool:
        """Whether the server takes connections to write; one whose log is still replayed does not."""
        assert self.site.processes["postgres"].poll() is None, (self.tree.paths.root / "postgres.log").read_text()
        ask = ["psql", "-Atc", "select pg_is_in_recovery()", "postgres"]
        return self._run(self._inside("postgres", ask)).stdout.strip() == b"f"


@contextmanager
def pods(names: Sequence[str], rootfs: Rootfs, template: Path) -> Iterator[tuple[Mesh, Pod]]:
    """Run sites that replicate; the first one in its pod."""
    with mesh_of(names, rootfs, template) as mesh:
        for site in mesh.sites:
            site.stop("syncthing")  # In order, since at the end it is killed, and a child of it lives on for minutes.
        first = Pod(mesh.sites[0], names)
        first.site.stop()
        first.start()
        yield mesh, first


RECORDER = """\
#!/bin/sh
for word in kubectl "$@"; do printf '%s\\0' "$word"; done >> "$RECORD"
printf '\\n\\0' >> "$RECORD"
"""
"""Stands in for kubectl: it notes its words and the end of the command."""


def documented(heading: str, **given: str) -> list[str]:
    """Give the blocks of commands below a heading of docs/backups.md, with what is given for the page's examples.

    `moment` is the time to restore to, `label` the backup.
    """
    page = PAGE.read_text()
    assert f"# {heading}\n" in page
    section = page.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    examples = {"moment": EXAMPLE_MOMENT, "label": EXAMPLE_LABEL}
    found = "\0".join(blocks(section, "sh"))
    for name, value in given.items():
        assert examples[name] in found
        found = found.replace(examples[name], value)
    return found.split("\0")


def commands(block: str) -> list[list[str]]:
    """Give the kubectl commands of a block as a shell understands them."""
    with TemporaryDirectory() as folder:
        recorder, record = Path(folder) / "kubectl", Path(folder) / "record"
        recorder.write_text(RECORDER)
        recorder.chmod(0o755)
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(record)}
        subprocess.run(["sh", "-euc", block], check=True, cwd=folder, env=environment)
        recorded = record.read_text().split("\n\0")[:-1]
    return [words.removesuffix("\0").split("\0") for words in recorded]
