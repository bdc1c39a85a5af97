"""What the status tells while something happens, sentence by sentence, as a person who watches it reads it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hack.demo.mesh import Mesh, Status


@dataclass
class Story:
    """Each sentence once, in the order in which it came."""

    sentences: list[str] = field(default_factory=list)

    def tells(self, *fragments: str) -> bool:
        """Whether one sentence holds all of these."""
        return any(all(fragment in sentence for fragment in fragments) for sentence in self.sentences)

    def add(self, status: Status) -> None:
        for sentence in _sentences(status):
            if sentence not in self.sentences:
                self.sentences.append(sentence)


@contextmanager
def told(mesh: Mesh) -> Iterator[Story]:
    """Watch the status for as long as the block runs; the story is whole after it."""
    story = Story()
    with TemporaryDirectory() as folder:
        seen = Path(folder) / "seen.json"
        watch = mesh.kubernetes.command("-n", mesh.namespace, "get", "msc", mesh.name, "--watch", "-o", "json")
        with seen.open("w") as file, subprocess.Popen(watch, stdout=file, stderr=subprocess.DEVNULL) as watching:
            try:
                yield story
            finally:
                watching.terminate()
        for status in _statuses(seen.read_text()):
            story.add(status)
    story.add(mesh.status())


def assert_told(story: Story, *fragments: str) -> None:
    """One sentence told all of these."""
    told_all = "\n".join(story.sentences)
    assert story.tells(*fragments), f"no sentence tells {fragments}; what was told:\n{told_all}"


def _statuses(text: str) -> Iterator[Status]:
    """Give the status of each resource in a row of JSON documents; the last one may be cut short."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        try:
            resource, end = decoder.raw_decode(text)
        except json.JSONDecodeError:
            return
        text = text[end:]
        yield resource.get("status", {})


def _sentences(status: Status) -> Iterator[str]:
    for one in status.get("conditions", []):
        yield f"{one['type']} {one['status']} {one['reason']}: {one['message']}"
    for site in status.get("sites", []):
        yield f"{site['name']} {site.get('state', '')}: {site.get('message', '')}"
