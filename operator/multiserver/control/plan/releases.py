"""What an upgrade of the operator leaves as it is: the pods of running sites.

A pod's image and its template come from one release of the operator and belong together. Both stay until the resource
declares another pod for the site, which restarts it anyway.
"""

from typing import Any

from multiserver.api.names import DECLARED_HASH_ANNOTATION, GIVEN_IMAGE_ANNOTATION
from multiserver.api.spec import Site
from multiserver.control.snapshot import Snapshot
from multiserver.resources.blueprint import SitePlan
from multiserver.resources.statefulset import declared_hash


def given_image(snapshot: Snapshot, site: Site) -> str:
    """Give the image that the operator gave a site with the pod that it has, or gives it with a new pod."""
    running = snapshot.get("StatefulSet", snapshot.names.site(site.name))
    annotations = running["metadata"].get("annotations", {}) if running else {}
    is_as_declared = annotations.get(DECLARED_HASH_ANNOTATION) == declared_hash(snapshot.cluster, site)
    return str(annotations.get(GIVEN_IMAGE_ANNOTATION, snapshot.site_image)) if is_as_declared else snapshot.site_image


def with_its_pod(snapshot: Snapshot, site: SitePlan, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give a site's objects, with the template of its pod as the release that made the pod left it.

    What others have changed in such a template stays, too: only the release that made it knows what it was.
    """
    running = snapshot.get("StatefulSet", snapshot.names.site(site.name))
    if running is None or site.given_image == snapshot.site_image:
        return objects
    template = {"template": running["spec"]["template"]}
    return [{**item, "spec": item["spec"] | template} if item["kind"] == "StatefulSet" else item for item in objects]
