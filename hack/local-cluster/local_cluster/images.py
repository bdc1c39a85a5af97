"""Container images made from one static program each, without any image builder: an archive is a few tar members."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PAUSE_IMAGE = "localhost/pause:1"
BUSYBOX_IMAGE = "localhost/busybox:1"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Entry:
    """One file, link or folder of an image; `content` for a file, `target` for a link, neither for a folder."""

    path: str
    content: bytes | None = None
    target: str | None = None
    mode: int = 0o755


def pause(program: bytes) -> bytes:
    """The image that holds a pod's namespaces."""
    return archive(PAUSE_IMAGE, [Entry("pause", program)], ["/pause"])


def busybox(program: bytes, applets: Sequence[str]) -> bytes:
    """A small image with a shell: for the volumes' helper pods, and for whoever wants a pod that does something."""
    entries = [
        Entry("tmp", mode=0o1777),
        Entry("bin/busybox", program),
        *(Entry(f"bin/{applet}", target="busybox") for applet in applets if applet != "busybox"),
        Entry("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", mode=0o644),
        Entry("etc/group", b"root:x:0:\n", mode=0o644),
    ]
    return archive(BUSYBOX_IMAGE, entries, [], ["/bin/sh"])


def archive(name: str, entries: Sequence[Entry], entrypoint: Sequence[str], command: Sequence[str] = ()) -> bytes:
    """Make an image of one layer as `docker save` would write it. The same input gives the same bytes."""
    layer = _tar(entries)
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "local-cluster"}],
    }
    config_bytes = _json(config)
    config_name = f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar(
        [
            Entry(config_name, config_bytes, mode=0o644),
            Entry("layer.tar", layer, mode=0o644),
            Entry("manifest.json", _json(manifest), mode=0o644),
        ]
    )


def _tar(entries: Sequence[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode = entry.mode
            if entry.content is not None:
                member.size = len(entry.content)
                tar.addfile(member, io.BytesIO(entry.content))
                continue
            member.type = tarfile.SYMTYPE if entry.target else tarfile.DIRTYPE
            member.linkname = entry.target or ""
            tar.addfile(member)
    return buffer.getvalue()


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
