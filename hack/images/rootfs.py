"""The tree of the site image's programs (PostgreSQL, pgbackrest, restic, syncthing) for tests on the host."""

from pathlib import Path

from hack.common.cache import cache_folder, mark_used, prune, remove, replaced_whole
from hack.common.command import run
from hack.common.progress import step
from hack.images.builder import open_builder
from hack.images.recipe import Recipe

KEPT_TREES = 3


def rootfs(recipe: Recipe) -> Path:
    """Return the folder of the tree, built and unpacked if the cache does not hold it."""
    folder = cache_folder("rootfs")
    tree = folder / recipe.programs_key()
    if not tree.is_dir():
        make_rootfs(recipe, tree)
        prune((path for path in folder.iterdir() if path.is_dir()), KEPT_TREES)
    mark_used(tree)
    return tree


def make_rootfs(recipe: Recipe, tree: Path) -> None:
    """Build the tree; returns at once if another process made it while this one waited for its turn."""
    with open_builder(recipe) as builder:
        if tree.is_dir():
            return
        archive = tree.with_suffix(".tar")
        with step("build the programs of the site image"):
            builder.build_tree("site-base", archive)
        with step(f"unpack them to {tree}"), replaced_whole(tree) as unfinished:
            unfinished.mkdir()
            # The Python dependencies are not part of the key, so the tree does without them.
            flags = ("--extract", "--numeric-owner", "--preserve-permissions", "--exclude=opt/multiserver")
            run(["tar", *flags, f"--file={archive}", f"--directory={unfinished}"])
        remove(archive)
