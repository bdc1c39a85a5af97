"""All objects of a cluster in the order in which they are applied, without the Secrets (see `secrets`)."""

from multiserver.resources.blueprint import Blueprint
from multiserver.resources.configmap import config_map
from multiserver.resources.cronjobs import backup_job
from multiserver.resources.disruptionbudget import disruption_budget
from multiserver.resources.networkpolicy import network_policy
from multiserver.resources.objects import Object
from multiserver.resources.serviceaccount import service_account
from multiserver.resources.services import any_site_service, headless_service, server_service
from multiserver.resources.statefulset import stateful_set
from multiserver.resources.volumes import volume_claims


def cluster_objects(blueprint: Blueprint) -> list[Object]:
    """Build what belongs to no single site."""
    return [any_site_service(blueprint), disruption_budget(blueprint)]


def site_objects(blueprint: Blueprint, site: str) -> list[Object]:
    """Build what belongs to a site: first what its pod needs, then the pod, then what needs the pod."""
    return [
        service_account(blueprint, site),
        config_map(blueprint, site),
        *volume_claims(blueprint, site),
        network_policy(blueprint, site),
        headless_service(blueprint, site),
        server_service(blueprint, site),
        stateful_set(blueprint, site),
        backup_job(blueprint, site, "data"),
        backup_job(blueprint, site, "files"),
    ]
