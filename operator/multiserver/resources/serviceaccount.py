"""The ServiceAccount of a site's pods. It has no rights and no token: nothing in a site speaks to the API server."""

from multiserver.resources.blueprint import Blueprint
from multiserver.resources.objects import Object, named


def service_account(blueprint: Blueprint, site: str) -> Object:
    """Build the site's ServiceAccount."""
    return named(
        "v1/ServiceAccount",
        blueprint.names.site(site),
        blueprint.cluster,
        site=site,
        automountServiceAccountToken=False,
    )
