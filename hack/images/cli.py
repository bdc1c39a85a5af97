"""The command line: `build` for the two images, `rootfs` for the programs that tests on the host use."""

import json
from collections.abc import Callable
from typing import Any

import click

from hack.common.cli import ToolGroup
from hack.images.archives import build_images
from hack.images.recipe import Recipe
from hack.images.rootfs import rootfs

DEFAULTS = Recipe()
RECIPE_OPTIONS = (
    click.option("--suite", default=DEFAULTS.suite, show_default=True, help="Debian suite of the base image."),
    click.option("--base", default="", help="Base image [default: Debian's of the suite, or one made here]."),
    click.option("--pg-major", "postgresql_major", default=DEFAULTS.postgresql_major, show_default=True,
                 help="Major version of PostgreSQL."),
    click.option("--postgresql-repository", default="", metavar="URL",
                 help="The PostgreSQL project's repository, where Debian's own PostgreSQL is too old."),
)  # fmt: skip


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that make up a recipe."""
    for option in reversed(RECIPE_OPTIONS):
        command = option(command)
    return command


@click.group(cls=ToolGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Build the images `operator` and `site` with docker, podman or buildah, whichever is there.

    Finished work is kept in $MULTISERVER_CACHE (~/.cache/multiserver) and made again only when its inputs change.
    """


@main.command()
@recipe_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def build(output: str, **options: Any) -> None:
    """Build both images and print their names and archives."""
    images = build_images(Recipe(**options))
    if output == "json":
        named = {image.target: {"image": image.name, "archive": str(image.archive)} for image in images}
        click.echo(json.dumps(named, indent=2))
        return
    for image in images:
        click.echo(f"{image.name}  {image.archive}")


@main.command("rootfs")
@recipe_options
def print_rootfs(**options: Any) -> None:
    """Unpack the site image's programs for tests on the host and print the folder."""
    click.echo(str(rootfs(Recipe(**options))))
