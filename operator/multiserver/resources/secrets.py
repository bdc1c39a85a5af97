"""Secrets. Those with keys and passwords are created once and never overwritten; the rest is derived from them.

A Secret that is created once holds its data and nothing else that could change: `retention` gives it its owner, which
depends on `deletionPolicy`, without touching the data.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from multiserver.api.names import POSTGRES_PORT, SERVER_NUMBER_ANNOTATION, Names
from multiserver.api.spec import Cluster
from multiserver.identity.certificates import KeyPair
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.configmap import trust_bundle
from multiserver.resources.objects import Object, named
from multiserver.resources.retention import retention

_CONNECT_TIMEOUT_SECONDS = 5
"""After this time a client tries the next site of its connection string."""


def site_identity(cluster: Cluster, site: str, server_number: int, tls: KeyPair, syncthing: KeyPair) -> Object:
    """Build the Secret with a site's keys; it also keeps the site's server number. To be created once."""
    data = {
        "tls.crt": tls.certificate_pem,
        "tls.key": tls.key_pem,
        "syncthing.crt": syncthing.certificate_pem,
        "syncthing.key": syncthing.key_pem,
    }
    name = _names(cluster).identity(site)
    secret = _created_once(cluster, name, data, site=site)
    secret["metadata"]["annotations"] = {SERVER_NUMBER_ANNOTATION: str(server_number)}
    return secret


def operator_identity(cluster: Cluster, tls: KeyPair) -> Object:
    """Build the Secret with the key that the operator shows to this cluster's sites. To be created once."""
    data = {"tls.crt": tls.certificate_pem, "tls.key": tls.key_pem}
    return _created_once(cluster, _names(cluster).operator_identity, data)


def application_password(cluster: Cluster, password: str) -> Object:
    """Build the Secret with the application's user and password; `connections` adds the rest. To be created once."""
    data = {"username": cluster.spec.database.owner, "password": password}
    return _created_once(cluster, _names(cluster).application, data)


def backup_passphrase(cluster: Cluster, passphrase: str) -> Object:
    """Build the Secret with the passphrase of the backup repositories. To be created once."""
    return _created_once(cluster, _names(cluster).backup_passphrase, {"passphrase": passphrase})


def connections(blueprint: Blueprint, live: Mapping[str, Any]) -> list[Object]:
    """Build how the application reaches the cluster: in its own Secret, any site; in each site's, that site first.

    `live` is the Secret that began as `application_password`; its password is read, never written.
    """
    user, password = (b64decode(live["data"][key]).decode() for key in ("username", "password"))
    names = blueprint.names
    any_site = retention(blueprint.cluster, live)
    hosts = [f"{names.any_site}.{names.namespace}.svc"]
    any_site["data"] = encoded(_connection(blueprint, user, password, hosts))
    return [any_site, *(_site_connection(blueprint, plan.name, user, password) for plan in blueprint.by_server_number)]


def encoded(data: Mapping[str, str]) -> dict[str, str]:
    """Give the data of a Secret as the API carries it."""
    return {key: b64encode(value.encode()).decode() for key, value in data.items()}


def _site_connection(blueprint: Blueprint, site: str, user: str, password: str) -> Object:
    names = blueprint.names
    others = [plan.name for plan in blueprint.by_server_number if plan.name != site]
    data = _connection(blueprint, user, password, [names.host(name) for name in (site, *others)])
    return named(
        "v1/Secret",
        names.site_application(site),
        blueprint.cluster,
        site=site,
        component="identity",
        kept=True,
        type="Opaque",
        data=encoded({"username": user, "password": password, **data}),
    )


def _connection(blueprint: Blueprint, user: str, password: str, hosts: list[str]) -> dict[str, str]:
    database = blueprint.cluster.spec.database.name
    servers = ",".join(f"{host}:{POSTGRES_PORT}" for host in hosts)
    options = f"target_session_attrs=read-write&sslmode=verify-full&connect_timeout={_CONNECT_TIMEOUT_SECONDS}"
    return {
        "dbname": database,
        "host": ",".join(hosts),
        "port": str(POSTGRES_PORT),
        "uri": f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{servers}/{database}?{options}",
        "ca.crt": trust_bundle(blueprint),
    }


def _created_once(cluster: Cluster, name: str, data: Mapping[str, str], site: str | None = None) -> Object:
    secret = named("v1/Secret", name, cluster, site=site, component="identity", type="Opaque", data=encoded(data))
    del secret["metadata"]["ownerReferences"]
    return secret


def _names(cluster: Cluster) -> Names:
    return Names(cluster.name, cluster.namespace)
