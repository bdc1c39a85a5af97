import os
from pathlib import Path

import pytest

from hack.images import archives
from hack.images.archives import KEPT_ARCHIVES, Image, build_images, planned_images, prune_images
from hack.images.builder import Builder
from hack.images.engine import Engine
from hack.images.recipe import Recipe


def engine(tmp_path: Path) -> Engine:
    """An engine whose every command writes its words to a file."""
    return Engine("recorder", ("sh", "-c", f'echo "$@" >> {tmp_path}/asked', "recorder"))


def test_both_images_carry_the_key_in_tag_and_file(tmp_path: Path) -> None:
    key = Recipe().images_key()

    assert planned_images(Recipe(), tmp_path) == [
        Image("operator", f"localhost/multiserver/operator:{key}", tmp_path / f"operator-{key}.tar"),
        Image("site", f"localhost/multiserver/site:{key}", tmp_path / f"site-{key}.tar"),
    ]


def test_with_both_archives_there_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTISERVER_CACHE", str(tmp_path))
    monkeypatch.delattr(archives, "open_builder")
    planned = planned_images(Recipe(), tmp_path / "images")
    for image in planned:
        image.archive.parent.mkdir(exist_ok=True)
        image.archive.write_bytes(b"")

    assert build_images(Recipe()) == planned


def test_older_archives_go_with_their_images(tmp_path: Path) -> None:
    for age in range(KEPT_ARCHIVES + 1):
        for target in ("operator", "site"):
            archive = tmp_path / f"{target}-{age}.tar"
            archive.write_bytes(b"")
            os.utime(archive, (1000 - age, 1000 - age))

    prune_images(Builder(engine(tmp_path), {}), tmp_path)

    kept = {f"{target}-{age}.tar" for target in ("operator", "site") for age in range(KEPT_ARCHIVES)}
    assert {path.name for path in tmp_path.glob("*.tar")} == kept
    assert (tmp_path / "asked").read_text().splitlines() == [
        f"rmi localhost/multiserver/operator:{KEPT_ARCHIVES}",
        f"rmi localhost/multiserver/site:{KEPT_ARCHIVES}",
    ]
