"""Recording which pods of a cluster were ready, from the API server's own watch, so that no moment is missed."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hack.demo.mesh import Mesh
from hack.tools.programs import program

SERVERS = "app.kubernetes.io/component=server"


@dataclass
class Readiness:
    """What was seen, in order: which pod (name and uid) was ready or not."""

    seen: list[tuple[str, str, bool]] = field(default_factory=list)

    def restarts(self) -> dict[str, int]:
        """Give how often each pod was replaced."""
        uids: dict[str, set[str]] = {}
        for name, uid, _ in self.seen:
            uids.setdefault(name, set()).add(uid)
        return {name: len(found) - 1 for name, found in uids.items()}

    def away_at_once(self) -> int:
        """Give the greatest number of sites that were not ready at the same time."""
        ready: dict[str, bool] = {}
        greatest = 0
        for name, _, is_ready in self.seen:
            ready[name] = is_ready
            greatest = max(greatest, list(ready.values()).count(False))
        return greatest


@contextmanager
def watched_readiness(mesh: Mesh) -> Iterator[Readiness]:
    """Record for as long as the block runs; what was seen is there after it."""
    readiness = Readiness()
    access = [str(program("kubectl")), f"--kubeconfig={mesh.kubernetes.kubeconfig}", "-n", mesh.namespace]
    command = [*access, "get", "pods", "-l", SERVERS, "--watch", "--output-watch-events", "-o", "json"]
    with tempfile.TemporaryFile("w+") as record, subprocess.Popen(command, stdout=record) as watch:
        try:
            yield readiness
        finally:
            watch.terminate()
            watch.wait(timeout=10)
            record.seek(0)
            readiness.seen += [_seen(event) for event in _documents(record.read())]


def _seen(event: dict[str, Any]) -> tuple[str, str, bool]:
    pod = event["object"]
    stays = event["type"] != "DELETED" and "deletionTimestamp" not in pod["metadata"]
    conditions = {item["type"]: item["status"] for item in pod["status"].get("conditions", [])}
    return pod["metadata"]["name"], pod["metadata"]["uid"], stays and conditions.get("Ready") == "True"


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Give the JSON documents that stand one after the other; a last one that is cut off is left out."""
    decoder, text = json.JSONDecoder(), text.lstrip()
    while text:
        try:
            document, end = decoder.raw_decode(text)
        except ValueError:
            return
        yield document
        text = text[end:].lstrip()
