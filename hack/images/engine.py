"""What builds images: docker, podman or buildah, and the command lines by which each is asked."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.common.command import succeeds
from hack.common.packages import ensure_programs


@dataclass(frozen=True)
class Build:
    """One run of a build: a context folder, the target in its Dockerfile ("" = the last) and what it is to make.

    `image` is the tag that the result gets, `tree` a file that gets its folder tree as a tar; either may be absent.
    `certificates` is a bundle of certificate authorities that pip is to trust, given as the secret `ca`.
    """

    context: Path
    target: str = ""
    image: str = ""
    tree: Path | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    certificates: Path | None = None

    def flags(self) -> list[str]:
        """Return the flags, which docker, podman and buildah all understand, and the context."""
        flags = [f"--build-arg={name}={value}" for name, value in self.arguments.items()]
        if self.target:
            flags.append(f"--target={self.target}")
        if self.image:
            flags.append(f"--tag={self.image}")
        if self.tree:
            flags.append(f"--output=type=tar,dest={self.tree}")
        if self.certificates:
            flags.append(f"--secret=id=ca,src={self.certificates}")
        return [*flags, str(self.context)]


@dataclass(frozen=True)
class Engine:
    """A program that builds and keeps images, described by the words it wants."""

    name: str
    program: tuple[str, ...]
    build_words: tuple[str, ...] = ("build",)
    inspect_words: tuple[str, ...] = ("image", "inspect")
    save_words: tuple[str, ...] = ("save", "--output={archive}", "{image}")
    tidy_words: tuple[str, ...] = ()

    def build(self, build: Build) -> list[str]:
        """Return the command line of a build that uses the layers of earlier ones."""
        return [*self.program, *self.build_words, *build.flags()]

    def inspect(self, image: str) -> list[str]:
        """Return the command line that ends with 0 if the image is kept here."""
        return [*self.program, *self.inspect_words, image]

    def pull(self, image: str) -> list[str]:
        """Return the command line that fetches an image from its registry."""
        return [*self.program, "pull", image]

    def save(self, image: str, archive: Path) -> list[str]:
        """Return the command line that writes an image with its tag to a docker-archive, layers uncompressed."""
        return [*self.program, *(word.format(image=image, archive=archive) for word in self.save_words)]

    def remove(self, image: str) -> list[str]:
        """Return the command line that forgets an image and the layers which only it has."""
        return [*self.program, "rmi", image]

    def tidy(self) -> list[str]:
        """Return the command line that removes what killed builds left, or nothing if the engine sees to that."""
        return [*self.program, *self.tidy_words] if self.tidy_words else []


DOCKER = Engine("docker", ("docker",))
PODMAN = Engine("podman", ("podman",), build_words=("build", "--layers"))


def buildah(storage: Path) -> Engine:
    """Return buildah with its layers in a folder of ours; chroot isolation works inside containers too.

    In a mount namespace of its own it leaves no mount behind, however it ends.
    """
    return Engine(
        "buildah",
        ("unshare", "--mount", "buildah", f"--root={storage}/images", f"--runroot={storage}/run"),
        build_words=("build", "--layers", "--isolation=chroot"),
        inspect_words=("inspect", "--type=image"),
        save_words=("push", "--quiet", "{image}", "docker-archive:{archive}:{image}"),
        tidy_words=("rm", "--all"),
    )


def find_engine(storage: Path) -> Engine:
    """Return the first that works here of docker (its daemon must answer), podman and buildah, else install buildah.

    Raises CommandFailed where there is none and none can be installed.
    """
    if succeeds(["docker", "version"]):
        return DOCKER
    if shutil.which("podman"):
        return PODMAN
    ensure_programs({"buildah": "buildah"})
    return buildah(storage)
