"""Images built and loaded, the operator installed by its own chart."""

import json
import sys
from pathlib import Path

from hack.common.command import run
from hack.common.progress import step
from hack.demo.kubernetes import CHECKOUT, Kubernetes

CHART = CHECKOUT / "charts" / "multiserver-operator"
RELEASE = "multiserver-operator"


def images() -> dict[str, dict[str, str]]:
    """Build the images where their inputs changed; give name and archive of `operator` and `site`."""
    text = run([sys.executable, str(CHECKOUT / "hack" / "images"), "build", "-o", "json"], shows_progress=True)
    built: dict[str, dict[str, str]] = json.loads(text)
    return built


def install(kubernetes: Kubernetes, namespace: str) -> None:
    """Build and load the images, apply the definitions, and install or upgrade the chart."""
    built = images()
    present = _present(kubernetes)
    for target, image in built.items():
        if image["image"] not in present:
            with step(f"load the image {target}"):
                kubernetes.load(Path(image["archive"]))
    kubernetes.kubectl("apply", "--server-side", "-f", str(CHECKOUT / "crds"))
    values = [
        option
        for target, key in (("operator", "image"), ("site", "siteImage"))
        for option in _image_values(key, built[target]["image"])
    ]
    with step("install the operator"):
        kubernetes.helm(
            "upgrade", "--install", RELEASE, str(CHART), "--namespace", namespace, "--create-namespace", "--skip-crds",
            "--wait", "--timeout", "3m", *values,
        )  # fmt: skip


def _present(kubernetes: Kubernetes) -> set[str]:
    """Give the images that every node has."""
    nodes = kubernetes.get("nodes")["items"]
    held = [{name for image in node["status"].get("images", []) for name in image.get("names", [])} for node in nodes]
    return set.intersection(*held) if held else set()


def _image_values(key: str, image: str) -> list[str]:
    repository, tag = image.rsplit(":", 1)
    return ["--set-string", f"{key}.repository={repository}", "--set-string", f"{key}.tag={tag}"]
