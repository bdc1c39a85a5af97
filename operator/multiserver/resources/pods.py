"""What the pods of a site have in common: their security, their volumes and their resources."""

from typing import Any

from multiserver.api.names import USER_ID
from multiserver.api.spec import Resources, Toleration
from multiserver.backup.config import STANZA
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.mounts import mount
from multiserver.resources.objects import Object
from multiserver.resources.quantities import canonical_map
from multiserver.settings import POD

_ENVIRONMENT = {
    # The root file system is read-only; /tmp is the one place where a program may expect to write.
    "HOME": "/tmp",
    # So that `psql`, `pgbackrest info` and `restic snapshots` need no options in a shell of the pod.
    "PGHOST": str(POD.run),
    "PGBACKREST_CONFIG": str(POD.pgbackrest_config),
    "PGBACKREST_CONFIG_INCLUDE_PATH": str(POD.pgbackrest_secrets),
    "PGBACKREST_STANZA": STANZA,
    "RESTIC_REPOSITORY": str(POD.restic_repository),
    "RESTIC_PASSWORD_FILE": str(POD.passphrase),
}


def pod_spec(blueprint: Blueprint, site: str, **more: Any) -> Object:
    """Give a pod specification with what every pod of a site has: no rights, no token, the placement of the site."""
    placement = blueprint.plan(site).site.placement
    return {
        "serviceAccountName": blueprint.names.site(site),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            # A large volume is not walked through at every start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "imagePullSecrets": [secret.wire() for secret in blueprint.cluster.spec.image_pull_secrets],
        "nodeSelector": placement.node_selector,
        "tolerations": [_toleration(toleration) for toleration in placement.tolerations],
        **more,
    }


def _toleration(toleration: Toleration) -> Object:
    """Give a toleration as the API server stores it: without its empty texts."""
    return {name: value for name, value in toleration.wire().items() if value != ""}


def container(blueprint: Blueprint, site: str, name: str, command: list[str], mounts: list[str], **more: Any) -> Object:
    """Give a container of the site's image that sees the volumes named by `mounts`."""
    return {
        "name": name,
        "image": blueprint.plan(site).image,
        "imagePullPolicy": blueprint.cluster.spec.image_pull_policy,
        "command": command,
        "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
        "volumeMounts": [mount(volume) for volume in mounts],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The last lines of its log become the reason that the status tells.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **more,
    }


def wanted(resources: Resources) -> Object:
    """Give requests and limits as the API server stores them."""
    return {"requests": canonical_map(resources.requests), "limits": canonical_map(resources.limits)}
