"""The volumes of a site's pods by name: what they are and where a container sees them."""

from multiserver.api import paths
from multiserver.api.names import VOLUME_PURPOSES, Names
from multiserver.resources.objects import Object

_SECRET_MODE = 0o440
"""Readable by the pod's group only; PostgreSQL and libpq accept no key that others may read."""

_PLACES = {
    "config": str(paths.CONFIG),
    "identity": str(paths.IDENTITY),
    "app": str(paths.APPLICATION),
    "backup": str(paths.PASSPHRASE.parent),
    "data": str(paths.DATA),
    "files": str(paths.FILES),
    "repository": str(paths.REPOSITORY),
    "run": str(paths.RUN),
    "tmp": "/tmp",
    "shm": "/dev/shm",
}
_READ_ONLY = frozenset({"config", "identity", "app", "backup"})


def mount(name: str) -> Object:
    """Give the entry of a container's `volumeMounts` for the volume."""
    entry: Object = {"name": name, "mountPath": _PLACES[name]}
    return {**entry, "readOnly": True} if name in _READ_ONLY else entry


def volume(names: Names, site: str, name: str) -> Object:
    """Give the entry of a pod's `volumes` for the volume. Raises KeyError if there is no volume of this name."""
    if name in VOLUME_PURPOSES:
        return {"name": name, "persistentVolumeClaim": {"claimName": names.volume(site, name)}}
    sources: dict[str, Object] = {
        "config": {"configMap": {"name": names.site(site)}},
        "identity": _secret(names.identity(site)),
        "app": _secret(names.application),
        "backup": _secret(names.backup_passphrase),
        "run": {"emptyDir": {"medium": "Memory"}},
        "tmp": {"emptyDir": {}},
        # Parallel queries share memory here; a container's own /dev/shm has only 64 MiB.
        "shm": {"emptyDir": {"medium": "Memory"}},
    }
    return {"name": name, **sources[name]}


def _secret(name: str) -> Object:
    return {"secret": {"secretName": name, "defaultMode": _SECRET_MODE}}
