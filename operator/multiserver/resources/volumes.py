"""The PersistentVolumeClaims of a site: objects of their own, so that nothing but the resource removes them."""

from multiserver.api.names import OPENED_ANNOTATION, VOLUME_PURPOSES
from multiserver.api.spec import Cluster, Storage
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.objects import Object, named
from multiserver.resources.quantities import canonical


def volume_claims(blueprint: Blueprint, site: str) -> list[Object]:
    """Build the site's volumes. They outlive the resource unless its `deletionPolicy` is Delete."""
    return [_claim(blueprint, site, purpose) for purpose in VOLUME_PURPOSES]


def storage(cluster: Cluster, purpose: str) -> Storage:
    """Give what the resource wants of a volume; purpose is one of `VOLUME_PURPOSES`."""
    spec = cluster.spec
    return {"data": spec.database.storage, "files": spec.files.storage, "repository": spec.backup.repository.volume}[
        purpose
    ]


def _claim(blueprint: Blueprint, site: str, purpose: str) -> Object:
    wanted = storage(blueprint.cluster, purpose)
    is_opened = purpose == "data" and site in blueprint.opened
    return named(
        "v1/PersistentVolumeClaim",
        blueprint.names.volume(site, purpose),
        blueprint.cluster,
        site=site,
        component=purpose,
        annotations={OPENED_ANNOTATION: "true"} if is_opened else {},
        kept=True,
        spec={
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": wanted.storage_class_name,
            "resources": {"requests": {"storage": canonical(wanted.size)}},
        },
    )
