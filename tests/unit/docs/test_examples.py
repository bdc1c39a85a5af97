"""Every example is one that the operator accepts, and together they show every field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from multiserver.api.crd import API_VERSION, KIND, structural
from multiserver.api.spec import Spec

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
CLUSTERS = sorted(EXAMPLES.glob("*.yaml"))

Object = dict[str, Any]


def document(path: Path) -> Object:
    loaded: Object = yaml.safe_load(path.read_text())
    return loaded


def fields(schema: Object, path: str = "") -> Iterator[str]:
    """The paths of all fields of a schema; items of a list and values of a map share one."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from fields(schema[key], f"{path}[]")


def used(value: Any, schema: Object, path: str = "") -> Iterator[str]:
    """The paths, as `fields` gives them, that a value sets."""
    if isinstance(value, list):
        for item in value:
            yield from used(item, schema["items"], f"{path}[]")
    elif isinstance(value, dict):
        for name, child in value.items():
            if name in schema.get("properties", {}):
                yield f"{path}.{name}"
                yield from used(child, schema["properties"][name], f"{path}.{name}")
            else:
                yield from used(child, schema["additionalProperties"], f"{path}[]")


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.name)
def test_example_is_accepted(path: Path) -> None:
    example = document(path)

    assert (example["apiVersion"], example["kind"]) == (API_VERSION, KIND)
    assert len(Spec.model_validate(example["spec"]).sites) >= 2


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.name)
def test_example_begins_with_what_it_shows(path: Path) -> None:
    assert path.read_text().startswith("# ")


def test_smallest_example_gives_no_more_than_two_names() -> None:
    assert document(CLUSTERS[0])["spec"] == {"sites": [{"name": "berlin"}, {"name": "hamburg"}]}


def test_one_example_shows_every_field() -> None:
    schema = structural(Spec)

    assert set(fields(schema)) == set(used(document(EXAMPLES / "03-every-field.yaml")["spec"], schema))


@pytest.mark.parametrize("path", sorted((EXAMPLES / "gitops").glob("*.yaml")), ids=lambda path: path.name)
def test_gitops_examples_are_objects(path: Path) -> None:
    for each in yaml.safe_load_all(path.read_text()):
        assert {"apiVersion", "kind", "metadata"} <= each.keys()
