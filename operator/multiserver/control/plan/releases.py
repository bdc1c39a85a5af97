"""What an upgrade of the operator leaves as it is: the pods of running sites.

A pod's image and its template come from one release of the operator and belong together. Both stay until the resource
declares another pod for the site, which restarts it anyway.
"""

from importlib.metadata import version
from typing import Any

from multiserver.api.names import DECLARED_HASH_ANNOTATION, GIVEN_IMAGE_ANNOTATION, MADE_BY_ANNOTATION
from multiserver.api.spec import Site
from multiserver.control.snapshot import Snapshot
from multiserver.resources.blueprint import SitePlan
from multiserver.resources.statefulset import declared_hash

RELEASE = version("multiserver-operator")


def given_image(snapshot: Snapshot, site: Site) -> str:
    """Give the image that the operator gave a site with the pod that it has, or gives it with a new pod."""
    return str(_noted(snapshot, site).get(GIVEN_IMAGE_ANNOTATION, snapshot.site_image))


def with_its_pod(snapshot: Snapshot, site: SitePlan, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give a site's objects, with the template of its pod as the release that made the pod left it.

    Two builds of one release are told apart by their site images. What others have changed in such a template stays,
    too: only the release that made it knows what it was.
    """
    noted = _noted(snapshot, site.site)
    made_by = noted.get(MADE_BY_ANNOTATION, RELEASE)
    kept = {}
    if noted and (made_by, site.given_image) != (RELEASE, snapshot.site_image):
        kept["template"] = snapshot.objects["StatefulSet", snapshot.names.site(site.name)]["spec"]["template"]
    return [_made_by(made_by, item, kept) if item["kind"] == "StatefulSet" else item for item in objects]


def _noted(snapshot: Snapshot, site: Site) -> dict[str, str]:
    """Give what is noted beside the pod that a site has; nothing if the resource declares another one by now."""
    running = snapshot.get("StatefulSet", snapshot.names.site(site.name))
    annotations = running["metadata"].get("annotations", {}) if running else {}
    is_as_declared = annotations.get(DECLARED_HASH_ANNOTATION) == declared_hash(snapshot.cluster, site)
    return dict(annotations) if is_as_declared else {}


def _made_by(release: str, server: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    metadata = server["metadata"]
    noted = {**metadata, "annotations": metadata["annotations"] | {MADE_BY_ANNOTATION: release}}
    return {**server, "metadata": noted, "spec": server["spec"] | kept}
