"""Building the programs and images once for all checkouts, kept in the cache by a key over what they are made of."""

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.common.cache import cache_folder, content_key, replaced_whole
from hack.common.command import run
from hack.common.lock import file_lock
from hack.common.progress import step
from local_cluster import images, packages
from local_cluster.errors import LocalClusterError

SOURCE = Path(__file__).resolve().parents[1] / "kubernetes"
KUBERNETES_VERSION = "v1.34.4"
# What is built, by its name in the cache: all from one Go module, so that they share what is compiled.
PROGRAMS = {
    "kubernetes": ".",
    "local-path-provisioner": "github.com/rancher/local-path-provisioner",
    "site-address": "./site-address",
    "pause": "./pause",
}
BUILD_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True)
class Builds:
    """Where everything is that every cluster needs and that is built here."""

    programs: Path
    images: Path

    @property
    def kubernetes(self) -> Path:
        """The program that is all of Kubernetes, by the name it is called by."""
        return self.programs / "kubernetes"

    @property
    def volumes(self) -> Path:
        """The program that makes the volumes' folders."""
        return self.programs / "local-path-provisioner"

    @property
    def site_address(self) -> Path:
        """The CNI plugin that notes the addresses of a site's pods."""
        return self.programs / "site-address"

    @property
    def archives(self) -> tuple[Path, ...]:
        """The images that every cluster needs, each as an archive."""
        return (self.images / "pause.tar", self.images / "busybox.tar")


def ensure() -> Builds:
    """Build everything, or find it built."""
    programs = kept("local-cluster-programs", programs_key(), _build_programs)
    pause = (programs / "pause").read_bytes()

    def make_images(folder: Path) -> None:
        _make_images(folder, pause)

    recipe = Path(images.__file__).read_bytes()
    key = content_key([("recipe", recipe), ("pause", pause)])
    return Builds(programs, kept("local-cluster-images", key, make_images))


def kept(room: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the cache's folder of this room and key; if there is none, let `make` fill it.

    The folder gets its name when it is complete, so one that exists is whole. A lock lets two checkouts that need
    the same build make it once.
    """
    folder = cache_folder(room) / key
    if folder.exists():
        return folder
    with file_lock(folder.with_suffix(".lock")):
        if not folder.exists():
            with replaced_whole(folder) as unfinished:
                unfinished.mkdir()
                make(unfinished)
    return folder


def programs_key() -> str:
    """Return the key of the programs: sources, module versions, compiler, flags, machine."""
    sources = [
        (str(path.relative_to(SOURCE)), path.read_bytes())
        for path in SOURCE.rglob("*")
        if path.is_file() and not path.name.endswith("_test.go")
    ]
    settings = {"compiler": _go_version(), "flags": linker_flags(), "machine": platform.machine()}
    return content_key([*sources, *((name, value.encode()) for name, value in settings.items())])


def linker_flags() -> str:
    """Return the flags that leave out debug information and set the version which the programs say they are."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    versions = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    packages_with_version = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = [f"-X {package}.{key}={value}" for package in packages_with_version for key, value in versions.items()]
    return " ".join(["-s", "-w", *settings])


def _build_programs(folder: Path) -> None:
    for name, package in PROGRAMS.items():
        hint = " (once; about 8 minutes on 2 cores)" if name == "kubernetes" else ""
        with step(f"build {name} from Go modules{hint}"):
            _go_build(folder / name, package)


def _go_build(output: Path, package: str) -> None:
    flags = ("-trimpath", "-buildvcs=false", f"-ldflags={linker_flags()}")
    run(
        ["nice", "go", "build", *flags, "-o", str(output), package],
        cwd=SOURCE,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        timeout_seconds=BUILD_TIMEOUT_SECONDS,
    )


def _go_version() -> str:
    if shutil.which("go") is None:
        raise LocalClusterError(
            "building Kubernetes needs Go 1.25 or newer, and there is no `go` on PATH; Debian 12's own is too old: "
            "install Go as https://go.dev/doc/install says, or from Debian's backports"
        )
    return run(["go", "version"], cwd=SOURCE)


def _make_images(folder: Path, pause: bytes) -> None:
    with step("make the images pause and busybox"):
        busybox = packages.static_busybox(folder)
        applets = run([str(busybox), "--list"]).split()
        (folder / "pause.tar").write_bytes(images.pause(pause))
        (folder / "busybox.tar").write_bytes(images.busybox(busybox.read_bytes(), applets))
