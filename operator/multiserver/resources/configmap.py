"""The ConfigMap of a site: everything that its programs are told, none of it secret."""

import json

from multiserver.api import paths
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.backup import config as pgbackrest
from multiserver.resources import postgres_access, postgres_settings
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.objects import Object, named


def config_map(blueprint: Blueprint, site: str) -> Object:
    """Build the site's ConfigMap, which the pod mounts at `paths.CONFIG`."""
    cluster = blueprint.cluster
    files = {
        paths.SITE_CONFIG: json.dumps(site_config(blueprint, site).wire(), indent=2) + "\n",
        paths.POSTGRES_CONFIG: postgres_settings.render(
            postgres_settings.settings(cluster, site, blueprint.plan(site).data_volume_bytes)
        ),
        paths.POSTGRES_ACCESS: postgres_access.host_based_access(cluster.spec.database),
        paths.POSTGRES_IDENT: postgres_access.certificate_names(),
        paths.PGBACKREST_CONFIG: pgbackrest.render(),
        paths.TRUST: trust_bundle(blueprint),
    }
    data = {path.name: text for path, text in files.items()}
    return named("v1/ConfigMap", blueprint.names.site(site), cluster, site=site, component="server", data=data)


def site_config(blueprint: Blueprint, site: str) -> SiteConfig:
    """Give what the site is told of itself and its peers."""
    spec = blueprint.cluster.spec
    return SiteConfig(
        cluster=blueprint.cluster.name,
        namespace=blueprint.cluster.namespace,
        site=blueprint.plan(site).name,
        schema_site=blueprint.schema_site,
        database=spec.database.name,
        owner=spec.database.owner,
        verify_every_hours=spec.database.verify_every_hours,
        folders=tuple(sorted(folder.name for folder in spec.files.folders)),
        members=tuple(
            Member(
                name=plan.name,
                server_number=plan.server_number,
                host=blueprint.names.host(plan.name),
                syncthing_device_id=plan.syncthing_device_id,
            )
            for plan in blueprint.members
        ),
        donors=blueprint.donors(site),
    )


def trust_bundle(blueprint: Blueprint) -> str:
    """Give the certificates that every member trusts: each site's own and the operator's."""
    certificates = [*(plan.certificate_pem for plan in blueprint.members), blueprint.operator_certificate_pem]
    return "".join(certificate.strip() + "\n" for certificate in certificates)
