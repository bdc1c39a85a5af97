"""What the operator itself applied to a live object last, as the API server remembers it. Pure."""

from collections.abc import Mapping
from typing import Any

from multiserver.api.names import MANAGER


def applied(live: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that the operator applied last, with their present values; empty if it applied none.

    A list is given whole, whoever else may have added to it. To apply this again changes nothing: the API server takes
    away a field that was applied before and is left out, and one that others gave becomes ours when it is applied.
    """
    entries = live["metadata"].get("managedFields", ())
    own = (entry for entry in entries if entry["manager"] == MANAGER and entry["operation"] == "Apply")
    fields: Mapping[str, Any] = next((entry["fieldsV1"] for entry in own if not entry.get("subresource")), {})
    return _chosen(live, fields) if fields else {}


def _chosen(node: Any, fields: Mapping[str, Any]) -> Any:
    """Give what is named of a node: `f:` begins the name of a field, and a leaf names none."""
    if not isinstance(node, Mapping) or not fields:
        return node
    names = ((key.removeprefix("f:"), below) for key, below in fields.items() if key.startswith("f:"))
    return {name: _chosen(node[name], below) for name, below in names if name in node}
