from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from multiserver.api.crd import definition, text
from multiserver.api.spec import Spec
from multiserver.api.status import Status

FILE = Path(__file__).resolve().parents[3] / "crds" / "multiserver.dev_multiserverclusters.yaml"
SCHEMA = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the schema with its path."""
    for name, field in node.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from fields(node[key], f"{path}[]")


ALL_FIELDS = {path: field for path, field in fields(SCHEMA) if path.startswith((".spec", ".status"))}


def test_the_file_is_what_the_models_say():
    assert FILE.read_text() == text(), "run: make crds"


def test_the_definition_is_valid():
    kubernetes_validate.validate(yaml.safe_load(text()), "1.34", strict=True)


@pytest.mark.parametrize("path", ALL_FIELDS)
def test_every_field_has_a_description_that_is_a_sentence(path):
    description = ALL_FIELDS[path].get("description", "")
    assert description[:1].isupper() or description[:1].isdigit(), description
    assert description.rstrip().endswith("."), description


def test_every_refusal_says_a_way_out_or_what_is_taken():
    rules = [*SCHEMA["x-kubernetes-validations"]]
    for _, field in fields(SCHEMA):
        for node in (field, field.get("items", {}), field.get("additionalProperties", {})):
            rules += node.get("x-kubernetes-validations", []) if isinstance(node, dict) else []
    assert len(rules) > 15
    assert [rule["message"] for rule in rules if len(rule["message"]) < 30] == []


def test_every_list_and_map_and_text_of_the_specification_is_bounded():
    unbounded = [
        path
        for path, field in ALL_FIELDS.items()
        if path.startswith(".spec")
        and (
            (field["type"] == "array" and "maxItems" not in field)
            or ("additionalProperties" in field and "maxProperties" not in field and not closed(field))
            or (field["type"] == "string" and "maxLength" not in field and "enum" not in field)
        )
    ]
    assert unbounded == []


def closed(field: dict[str, Any]) -> bool:
    """Whether the map can have a few keys only."""
    return field["description"].endswith("by resource: cpu, memory.")


def test_unknown_fields_are_pruned_or_refused_never_kept():
    assert "x-kubernetes-preserve-unknown-fields" not in text()


def test_python_and_the_schema_know_the_same_fields():
    for model, name in ((Spec, "spec"), (Status, "status")):
        aliases = {field.alias or key for key, field in model.model_fields.items()}
        assert aliases == set(SCHEMA["properties"][name]["properties"])


def test_a_field_that_is_not_needed_is_not_demanded():
    assert SCHEMA["properties"]["spec"]["required"] == ["sites"]
