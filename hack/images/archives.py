"""The images as archives in the cache: one file an image, named by the key of all its inputs."""

from dataclasses import dataclass
from pathlib import Path

from hack.common.cache import cache_folder, mark_used, prune, replaced_whole
from hack.common.command import CommandFailed, run
from hack.common.progress import say, step
from hack.images.builder import Builder, open_builder
from hack.images.recipe import Recipe

TARGETS = ("operator", "site")
KEPT_ARCHIVES = 3
"""How many archives of each target stay: enough to go back and forth between branches."""


@dataclass(frozen=True)
class Image:
    """An image: the Dockerfile's target, the tag it carries, and the docker-archive that holds it."""

    target: str
    name: str
    archive: Path


def planned_images(recipe: Recipe, folder: Path) -> list[Image]:
    """Return the images that the checkout's files make, built or not."""
    key = recipe.images_key()
    return [
        Image(target, image_name(target, key), folder / f"{target}-{key}.tar")  #
        for target in TARGETS
    ]


def image_name(target: str, key: str) -> str:
    """Return the tag of a target's image."""
    return f"localhost/multiserver/{target}:{key}"


def build_images(recipe: Recipe) -> list[Image]:
    """Return both images; what the cache does not hold is built first."""
    folder = cache_folder("images")
    images = planned_images(recipe, folder)
    if not all(image.archive.exists() for image in images):
        with open_builder(recipe) as builder:
            for image in images:
                build_image(builder, image)
            prune_images(builder, folder)
    for image in images:
        mark_used(image.archive)
    return images


def build_image(builder: Builder, image: Image) -> None:
    """Build one image and write its archive, unless another process did while this one waited for its turn."""
    if image.archive.exists():
        return
    with step(f"build {image.name} with {builder.engine.name}"):
        builder.build_image(image.target, image.name)
    with step(f"write {image.archive}"), replaced_whole(image.archive) as unfinished:
        run(builder.engine.save(image.name, unfinished))


def prune_images(builder: Builder, folder: Path) -> None:
    """Remove all but the newest archives, and the same images from the engine."""
    for target in TARGETS:
        for archive in prune(folder.glob(f"{target}-*.tar"), KEPT_ARCHIVES):
            key = archive.stem.removeprefix(f"{target}-")
            try:
                run(builder.engine.remove(image_name(target, key)))
            except CommandFailed as error:
                say(f"the archive is removed, but the image stays: {error}")
