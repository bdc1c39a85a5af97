"""Which Kubernetes the demo and the tests use, and how images get there."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.common.command import CommandFailed, run
from hack.common.progress import say, step
from hack.tools.programs import program

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "multiserver-demo"
KUBECTL_SECONDS = 120.0


@dataclass(frozen=True)
class Kubernetes:
    """A Kubernetes cluster, by its kubeconfig; without one, the user's current context."""

    kubeconfig: Path | None

    def kubectl(self, *arguments: str, stdin: str = "", timeout_seconds: float = KUBECTL_SECONDS) -> str:
        """Run kubectl and give what it prints. Raises CommandFailed."""
        return run(self.command(*arguments), stdin=stdin, timeout_seconds=timeout_seconds)

    def command(self, *arguments: str) -> list[str]:
        """Give the command line of kubectl, for one that is to go on running."""
        access = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return [str(program("kubectl")), *access, *arguments]

    def get(self, *arguments: str) -> dict[str, Any]:
        """Read objects as kubectl gives them in JSON."""
        document: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return document

    def helm(self, *arguments: str) -> str:
        """Run helm and give what it prints. Raises CommandFailed."""
        access = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return run([str(program("helm")), *access, *arguments], timeout_seconds=300)

    def up(self) -> None:
        """Start it, if starting it is ours to do."""

    def load(self, archive: Path) -> None:
        """Put an image where its nodes find it."""
        say(f"{archive.name}: the current context's nodes must have or pull this image; see docs/kind.md")

    def remove(self, *namespaces: str) -> None:
        """Remove what was put in."""
        self.kubectl("delete", "namespace", "--ignore-not-found", "--timeout=5m", *namespaces, timeout_seconds=330)
        self.kubectl("delete", "--ignore-not-found", "-f", str(CHECKOUT / "crds"))


class Kind(Kubernetes):
    """Kubernetes in docker, by kind."""

    def up(self) -> None:
        """Make the cluster unless it is there."""
        if NAME not in run(["kind", "get", "clusters"]).split():
            with step("make a kind cluster"):
                run(["kind", "create", "cluster", "--name", NAME, "--kubeconfig", str(self.kubeconfig)])

    def load(self, archive: Path) -> None:
        """Load the image into the nodes."""
        run(["kind", "load", "image-archive", "--name", NAME, str(archive)])

    def remove(self, *_: str) -> None:
        """Delete the whole cluster."""
        run(["kind", "delete", "cluster", "--name", NAME, "--kubeconfig", str(self.kubeconfig)])


class K3d(Kubernetes):
    """k3s in docker, by k3d."""

    def up(self) -> None:
        """Make the cluster unless it is there."""
        if not any(cluster["name"] == NAME for cluster in json.loads(run(["k3d", "cluster", "list", "-o", "json"]))):
            with step("make a k3d cluster"):
                run(["k3d", "cluster", "create", NAME, "--kubeconfig-update-default=false"])
        kubeconfig = run(["k3d", "kubeconfig", "get", NAME])
        assert self.kubeconfig is not None, "a k3d cluster is reached by a file of its own"
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self.kubeconfig.write_text(kubeconfig)
        self.kubeconfig.chmod(0o600)

    def load(self, archive: Path) -> None:
        """Load the image into the nodes."""
        run(["k3d", "image", "import", "--cluster", NAME, str(archive)])

    def remove(self, *_: str) -> None:
        """Delete the whole cluster."""
        run(["k3d", "cluster", "delete", NAME])


@dataclass(frozen=True)
class Local(Kubernetes):
    """Our own, for machines with neither; see hack/local-cluster."""

    name: str = "demo"
    in_memory: bool = False

    def tool(self, *arguments: str) -> str:
        """Run the local cluster's tool and give what it prints; its progress is shown."""
        return run([sys.executable, str(CHECKOUT / "hack" / "local-cluster"), *arguments], shows_progress=True)

    def up(self) -> None:
        """Start it, or repair it."""
        self.tool("up", self.name, *(["--in-memory"] if self.in_memory else []))

    def load(self, archive: Path) -> None:
        """Load the image into its node."""
        self.tool("load", str(archive), "--cluster", self.name)

    def remove(self, *_: str) -> None:
        """Remove it with all it holds."""
        self.tool("down", self.name)

    def cut(self, a: str, b: str) -> None:
        """Cut the line between two sites, each given as NAMESPACE/SITE, both ways."""
        self.tool("cut", a, b, "--cluster", self.name)

    def heal(self) -> None:
        """Undo all cuts."""
        self.tool("heal", "--cluster", self.name)

    def audit_log(self) -> Path:
        """Give the API server's record of every write, one JSON object a line."""
        status = json.loads(self.tool("status", "-o", "json", "--cluster", self.name))
        return Path(status["clusters"][0]["audit_log"])


def local(name: str, *, in_memory: bool = False) -> Local:
    """Give a local cluster that is up; if it has to be made, in memory if that is wished."""
    cluster = Local(None, name, in_memory)
    cluster.up()
    return Local(Path(cluster.tool("kubeconfig", name).strip()), name)


def choose(environment: Mapping[str, str]) -> Kubernetes:
    """Choose: the current context if asked for, else kind, k3d, or our own. The chosen one is up."""
    own_file = Path.home() / ".cache" / "multiserver" / f"{NAME}.kubeconfig"
    if environment.get("USE_CURRENT_CONTEXT") == "1":
        chosen: Kubernetes = Kubernetes(None)
    elif _works("kind"):
        chosen = Kind(own_file)
    elif _works("k3d"):
        chosen = K3d(own_file)
    else:
        return local("demo")
    chosen.up()
    return chosen


def _works(tool: str) -> bool:
    """Whether the tool is there and reaches its docker."""
    if shutil.which(tool) is None:
        return False
    try:
        run([tool, "get", "clusters"] if tool == "kind" else [tool, "cluster", "list"], timeout_seconds=20)
    except CommandFailed:
        return False
    return True
