from pathlib import Path

import pytest

from hack.images import recipe
from hack.images.recipe import Recipe, source_files


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*recipe.PROGRAMS, ".dockerignore", "pyproject.toml", "operator/multiserver/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    monkeypatch.setattr(recipe, "CHECKOUT", tmp_path)
    return tmp_path


def keys() -> tuple[str, str]:
    return Recipe().programs_key(), Recipe().images_key()


def test_a_changed_source_file_makes_new_images_of_the_same_programs(checkout: Path) -> None:
    programs, images = keys()

    (checkout / "operator/multiserver/__init__.py").write_text("changed")

    assert keys()[0] == programs
    assert keys()[1] != images


@pytest.mark.parametrize("name", recipe.PROGRAMS)
def test_a_changed_recipe_changes_programs_and_images(checkout: Path, name: str) -> None:
    programs, images = keys()

    (checkout / name).write_text("changed")

    assert keys()[0] != programs
    assert keys()[1] != images


def test_what_python_leaves_behind_changes_nothing(checkout: Path) -> None:
    before = keys()

    for leftover in ("operator/multiserver/__pycache__/x.pyc", "operator/multiserver_operator.egg-info/PKG-INFO"):
        (checkout / leftover).parent.mkdir()
        (checkout / leftover).write_text("made")

    assert keys() == before


@pytest.mark.parametrize(
    "other",
    [
        Recipe(suite="trixie"),
        Recipe(base="debian:forky"),
        Recipe(postgresql_major="19"),
        Recipe(postgresql_repository="http://apt.postgresql.org/pub/repos/apt"),
    ],
)
def test_every_build_argument_counts(checkout: Path, other: Recipe) -> None:
    assert other.programs_key() != Recipe().programs_key()
    assert other.images_key() != Recipe().images_key()


def test_a_missing_input_is_named(checkout: Path) -> None:
    (checkout / "Dockerfile").unlink()

    with pytest.raises(FileNotFoundError, match="Dockerfile"):
        Recipe().programs_key()


def test_files_are_found_below_folders_in_a_stable_order(checkout: Path) -> None:
    (checkout / "operator/multiserver/a.py").write_text("a")

    found = [str(path.relative_to(checkout)) for path in source_files(checkout, ("pyproject.toml", "operator"))]

    assert found == ["pyproject.toml", "operator/multiserver/__init__.py", "operator/multiserver/a.py"]


def test_the_dockerfile_gets_every_argument() -> None:
    assert Recipe(suite="trixie").arguments("localhost/base") == {
        "BASE": "localhost/base",
        "SUITE": "trixie",
        "PG_MAJOR": "18",
        "POSTGRESQL_REPOSITORY": "",
    }
