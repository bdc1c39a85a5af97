"""The Services of a cluster: one to each site's server, one to any site, and the headless ones that name the pods."""

from multiserver.api.names import AGENT_PORT, FILES_PORT, POSTGRES_PORT
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.objects import Object, named

_POSTGRES = {"name": "postgres", "port": POSTGRES_PORT, "targetPort": "postgres", "protocol": "TCP"}
_FILES = {"name": "files", "port": FILES_PORT, "targetPort": "files", "protocol": "TCP"}
_AGENT = {"name": "agent", "port": AGENT_PORT, "targetPort": "agent", "protocol": "TCP"}


def headless_service(blueprint: Blueprint, site: str) -> Object:
    """Build the Service that the StatefulSet needs to give its pod a name."""
    return named(
        "v1/Service",
        blueprint.names.site(site),
        blueprint.cluster,
        site=site,
        component="server",
        spec={
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": blueprint.names.selector(site),
            "ports": [_POSTGRES, _FILES, _AGENT],
        },
    )


def server_service(blueprint: Blueprint, site: str) -> Object:
    """Build the Service with the address of a site's server, for workstations, peers and the operator.

    It leads to the pod even while that is not ready: peers and the operator must reach each program of a site whatever
    the others do, and a client that names this site's address learns more from the server's own refusal.
    """
    wanted = blueprint.plan(site).site.service
    return named(
        "v1/Service",
        blueprint.names.server(site),
        blueprint.cluster,
        site=site,
        component="server",
        annotations=wanted.annotations,
        spec={
            "type": wanted.type,
            "publishNotReadyAddresses": True,
            "selector": blueprint.names.selector(site),
            "ports": [_POSTGRES, _FILES, _AGENT],
        },
    )


def any_site_service(blueprint: Blueprint) -> Object:
    """Build the Service that leads to any ready site, the nearest preferred."""
    return named(
        "v1/Service",
        blueprint.names.any_site,
        blueprint.cluster,
        component="server",
        spec={
            "type": "ClusterIP",
            "trafficDistribution": "PreferClose",
            "selector": blueprint.names.selector(),
            "ports": [_POSTGRES],
        },
    )
