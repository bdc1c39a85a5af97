"""Whether a live object still is what was applied, and if not, where it differs. Pure.

The API server adds defaults, and others may add fields or list entries of their own: what was applied must be contained
in what is live, with nothing said of the rest. Lists are compared as server-side apply merges them: those with keys
entry by entry, all others as a whole.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from multiserver.api.names import DESIRED_HASH_ANNOTATION

_LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists that server-side apply merges by these keys; Services and containers have `ports` of their own keys."""

NO_LONGER_WANTED = "a field that is no longer wanted"


def marked(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Give the object with the hash of all that is wanted, which shows later that something is not wanted any more."""
    text = json.dumps(desired, sort_keys=True, separators=(",", ":"))
    annotation = {DESIRED_HASH_ANNOTATION: hashlib.sha256(text.encode()).hexdigest()[:16]}
    metadata = desired["metadata"]
    return {**desired, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **annotation}}}


def drift(desired: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    """Say where the live object differs from what is wanted, for example `spec.replicas`; empty if nowhere.

    No value is ever part of it, since it may be a password.
    """
    if found := first_difference(desired, live):
        return found
    return "" if is_contained(marked(desired), live) else NO_LONGER_WANTED


def is_contained(desired: Any, live: Any) -> bool:
    """Tell whether every field that is wanted is live with the same value."""
    return first_difference(desired, live) is None


def first_difference(desired: Any, live: Any) -> str | None:
    """Give the path of the first field, in alphabetical order, that is not live as wanted; None if all are."""
    return next(_differences(desired, live, ""), None)


def _differences(desired: Any, live: Any, path: str) -> Iterator[str]:
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        for key in sorted(desired):
            if key in live:
                yield from _differences(desired[key], live[key], f"{path}.{key}".lstrip("."))
            else:
                yield f"{path}.{key}".lstrip(".")
    elif isinstance(desired, list) and isinstance(live, list):
        yield from _list_differences(desired, live, path)
    elif desired != live or isinstance(desired, bool) != isinstance(live, bool):
        yield path


def _list_differences(desired: list[Any], live: list[Any], path: str) -> Iterator[str]:
    if keys := _keys(path, desired):
        found = {_identity(entry, keys): entry for entry in live}
        for entry in desired:
            place = f"{path}[{_identity(entry, keys)}]"
            if _identity(entry, keys) in found:
                yield from _differences(entry, found[_identity(entry, keys)], place)
            else:
                yield place
    elif len(desired) != len(live):
        yield path
    else:
        for index, (wanted, present) in enumerate(zip(desired, live, strict=True)):
            yield from _differences(wanted, present, f"{path}[{index}]")


def _keys(path: str, desired: Sequence[Any]) -> tuple[str, ...]:
    """Give the merge keys of the list at the path; empty if it is compared as a whole."""
    field = path.rpartition(".")[2]
    if field != "ports":
        return _LIST_KEYS.get(field, ())
    if all("containerPort" in entry for entry in desired):
        return ("containerPort", "protocol")
    return ("port", "protocol") if path == "spec.ports" else ()


def _identity(entry: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return ",".join(str(entry.get(key)) for key in keys)
