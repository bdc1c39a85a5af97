"""An engine ready to build this checkout's Dockerfile: found, with its base image, and nobody else using it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.common.cache import cache_folder
from hack.common.command import run
from hack.common.lock import file_lock
from hack.images.base import base_image
from hack.images.engine import Build, Engine, find_engine
from hack.images.recipe import CHECKOUT, Recipe


@dataclass(frozen=True)
class Builder:
    """An engine and the build arguments for it."""

    engine: Engine
    arguments: dict[str, str]

    def build_image(self, target: str, image: str) -> None:
        """Build a target of the Dockerfile under the name `image`."""
        run(self.engine.build(self._build(target, image=image)))

    def build_tree(self, target: str, archive: Path) -> None:
        """Build a target of the Dockerfile and write its folder tree to a tar."""
        run(self.engine.build(self._build(target, tree=archive)))

    def _build(self, target: str, *, image: str = "", tree: Path | None = None) -> Build:
        certificates = os.environ.get("SSL_CERT_FILE")
        return Build(
            CHECKOUT,
            target,
            image,
            tree,
            arguments=self.arguments,
            certificates=Path(certificates) if certificates else None,
        )


@contextmanager
def open_builder(recipe: Recipe) -> Iterator[Builder]:
    """Give the builder for a recipe; other processes that want one wait until the block ends."""
    folder = cache_folder("images")
    with file_lock(folder / "lock"):
        engine = find_engine(folder / "buildah")
        if engine.tidy():
            run(engine.tidy())
        base = recipe.base or base_image(engine, recipe.suite, folder / "base")
        yield Builder(engine, recipe.arguments(base))
