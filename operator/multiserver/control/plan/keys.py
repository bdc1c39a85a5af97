"""Keys, passwords and passphrases that are made once for good."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multiserver.api.names import SERVER_NUMBER_ANNOTATION, SITE_LABEL
from multiserver.api.spec import Site
from multiserver.control.plan.actions import (
    Action,
    MakeApplicationPassword,
    MakeBackupPassphrase,
    MakeOperatorKeys,
    MakeSiteKeys,
)
from multiserver.control.plan.joining import is_marked, was_opened
from multiserver.control.plan.releases import given_image
from multiserver.control.plan.schema_site import known_schema_site
from multiserver.control.plan.server_numbers import NumbersConflictError, assign
from multiserver.control.snapshot import Snapshot
from multiserver.files.identity import device_id
from multiserver.resources.blueprint import Blueprint, SitePlan
from multiserver.resources.quantities import whole_bytes

SITE_KEYS = ("tls.crt", "tls.key", "syncthing.crt", "syncthing.key")


class KeysLostError(ValueError):
    """A Secret lost what cannot be made again, or is another database's; the sentence says which, and the way out."""


def missing_keys(snapshot: Snapshot) -> list[Action]:
    """Give an action for each Secret that is still to be made.

    Raises KeysLostError if one lacks a part or must not be made again, NumbersConflictError as in `server_numbers`.
    """
    names = snapshot.names
    _check_parts(snapshot)
    _check_database(snapshot)
    _check_passphrase(snapshot)
    once: dict[str, Action] = {
        names.operator_identity: MakeOperatorKeys(),
        names.application: MakeApplicationPassword(),
        names.backup_passphrase: MakeBackupPassphrase(),
    }
    for site, number in assign(snapshot.cluster.spec.sites, recorded_numbers(snapshot)).items():
        once[names.identity(site)] = MakeSiteKeys(site, number)
    return [action for name, action in once.items() if snapshot.get("Secret", name) is None]


@dataclass(frozen=True)
class Newcomers:
    """New sites that a cluster which was opened does without for now, so that what they lack stops nothing else."""

    keys: Mapping[str, MakeSiteKeys]
    """The keys that are to be made first, by site."""
    refused: Mapping[str, str]
    """Why a site cannot come in as it is declared, and the way out, by site."""

    @property
    def why_not(self) -> dict[str, str]:
        """Why each of them is not there yet."""
        return {**dict.fromkeys(self.keys, "its keys are still to be made"), **self.refused}


def newcomers(snapshot: Snapshot) -> Newcomers:
    """Give the declared sites of which there is neither a server nor data yet, and that cannot come in at once.

    None before the first site has opened: until then all begin together. Raises as `missing_keys` and `blueprint_of`.
    """
    names, recorded = snapshot.names, recorded_numbers(snapshot)
    schema_site = known_schema_site(snapshot, recorded)
    new = [
        site
        for site in snapshot.cluster.spec.sites
        if schema_site not in (None, site.name)
        and snapshot.get("StatefulSet", names.site(site.name)) is None
        and not is_marked(snapshot, site.name)
    ]
    taken_in = [site for site in snapshot.cluster.spec.sites if site not in new]
    numbers = assign(taken_in, recorded)
    refused = {}
    for site in new:
        try:
            numbers = assign([*taken_in, site], recorded)
            taken_in.append(site)
        except NumbersConflictError as conflict:
            refused[site.name] = str(conflict)
    keyless = [
        site.name
        for site in new
        if site.name not in refused and snapshot.get("Secret", names.identity(site.name)) is None
    ]
    return Newcomers({name: MakeSiteKeys(name, numbers[name]) for name in keyless}, refused)


def _check_parts(snapshot: Snapshot) -> None:
    """Raise KeysLostError if a Secret that is there lacks one of its parts, or if one of a site that leaves is gone.

    Without its keys such a site could hand nothing over, and its peers would forget it while it still runs.
    """
    names = snapshot.names
    servers = {names.identity(site): names.site(site) for site in snapshot.leaving}
    parts: dict[str, tuple[str, ...]] = {
        **{names.identity(site.name): SITE_KEYS for site in snapshot.cluster.spec.sites},
        **dict.fromkeys(servers, SITE_KEYS),
        names.operator_identity: ("tls.crt", "tls.key"),
        names.application: ("username", "password"),
        names.backup_passphrase: ("passphrase",),
    }
    for name, wanted in parts.items():
        secret = snapshot.get("Secret", name)
        missing = [fault for part in wanted if secret is not None and (fault := _fault(secret, part))]
        if missing or (secret is None and name in servers):
            lacks = f"has no {', '.join(missing)}" if missing else "is gone"
            or_else = f", or if its site is gone for good: kubectl delete statefulset {servers.get(name)}"
            raise KeysLostError(
                f"Secret {name} {lacks}: restore it from a copy{or_else if name in servers else ''}. "
                "Nothing is done until then; what runs goes on running"
            )


def _fault(secret: Mapping[str, Any], part: str) -> str:
    """Name a part that a Secret does not have, or not as text; empty if all is well."""
    try:
        _text(secret, part)
    except KeyError:
        return part
    except ValueError:
        return f"{part} in UTF-8"
    return ""


def _check_database(snapshot: Snapshot) -> None:
    """Raise KeysLostError if a resource is applied to what was kept of one with another database or owner.

    The owner is noted once for good. The name is repaired where it was only edited: then a site has that database.
    """
    name, declared = snapshot.names.application, snapshot.cluster.spec.database
    secret = snapshot.get("Secret", name) or {"data": {}}
    is_found = any(seen.database is not None for seen in snapshot.sites.values())
    wanted = {"username": ("owner", declared.owner)} | ({} if is_found else {"dbname": ("name", declared.name)})
    for part, (declared_as, value) in wanted.items():
        if part in secret["data"] and (kept := _text(secret, part)) != value:
            raise KeysLostError(
                f"Secret {name} was made for a database with {declared_as} {kept}, and spec.database.{declared_as} is "
                f"{value}: set deletionPolicy to Retain, delete the resource, and apply it with {kept}. Only if what "
                "was written is not needed, delete this Secret and the sites' volumes instead. Nothing is done until "
                "then; what runs goes on running"
            )


def _check_passphrase(snapshot: Snapshot) -> None:
    """Raise KeysLostError if backups exist, or may, that a new passphrase could not read."""
    names = snapshot.names
    volumes = [names.volume(site.name, "repository") for site in snapshot.cluster.spec.sites]
    live = [snapshot.get("PersistentVolumeClaim", name) for name in volumes]
    kept = [claim["metadata"]["name"] for claim in live if claim and not claim["metadata"].get("deletionTimestamp")]
    if kept and snapshot.get("Secret", names.backup_passphrase) is None:
        raise KeysLostError(
            f"Secret {names.backup_passphrase} is gone, and without its passphrase no backup in {', '.join(kept)} can "
            "be read: restore it from a copy. Only if the backups may be lost, delete those volumes to get a new one. "
            "Nothing is done until then; what runs goes on running"
        )


def recorded_numbers(snapshot: Snapshot) -> dict[str, int]:
    """Give the server numbers of all keys ever made under this cluster's name, by site. Raises KeysLostError."""
    secrets = (item for (kind, _), item in snapshot.objects.items() if kind == "Secret")
    leaving = {snapshot.names.identity(site) for site in snapshot.leaving}
    found = {}
    for secret in secrets:
        metadata = secret["metadata"]
        number = metadata.get("annotations", {}).get(SERVER_NUMBER_ANNOTATION)
        if number is None and metadata["name"] not in leaving:
            continue
        if number is None or not number.isdecimal() or SITE_LABEL not in metadata["labels"]:
            raise KeysLostError(
                f"Secret {metadata['name']} does not say whose server number it keeps ({number!r}): "
                f"restore its label {SITE_LABEL} and its annotation {SERVER_NUMBER_ANNOTATION}"
            )
        found[metadata["labels"][SITE_LABEL]] = int(number)
    return found


def blueprint_of(snapshot: Snapshot) -> Blueprint:
    """Give what the builders build from; every key must be there.

    Raises KeysLostError if a certificate is none, and SchemaSiteGoneError.
    """
    names, declared = snapshot.names, snapshot.cluster.spec.sites
    recorded = recorded_numbers(snapshot)
    numbers = recorded | assign(declared, recorded)
    operator = snapshot.objects["Secret", names.operator_identity]
    return Blueprint(
        snapshot.cluster,
        tuple(_site_plan(snapshot, site, numbers) for site in declared),
        _text(operator, "tls.crt"),
        snapshot.operator_namespace,
        leaving=tuple(_site_plan(snapshot, Site(name=name), numbers) for name in snapshot.leaving),
        opened=frozenset(
            name
            for name in (*(site.name for site in declared), *snapshot.leaving)
            if is_marked(snapshot, name) or was_opened(snapshot.seen(name).database)
        ),
        known_schema_site=known_schema_site(snapshot, numbers),
    )


def _site_plan(snapshot: Snapshot, site: Site, numbers: Mapping[str, int]) -> SitePlan:
    identity = snapshot.objects["Secret", snapshot.names.identity(site.name)]
    given = given_image(snapshot, site)
    data_volume = snapshot.get("PersistentVolumeClaim", snapshot.names.volume(site.name, "data"))
    return SitePlan(
        site=site,
        server_number=numbers[site.name],
        certificate_pem=_text(identity, "tls.crt"),
        syncthing_device_id=_device_id(identity),
        image=snapshot.cluster.spec.image or given,
        given_image=given,
        data_volume_bytes=_capacity_bytes(data_volume),
    )


def _capacity_bytes(claim: Mapping[str, Any] | None) -> int | None:
    """Give how large the volume of a claim is; None if it has none yet, or says so in a way that is not read here."""
    size = (claim or {}).get("status", {}).get("capacity", {}).get("storage", "")
    try:
        return whole_bytes(size)
    except ValueError:
        return None


def _device_id(identity: Mapping[str, Any]) -> str:
    try:
        return device_id(_text(identity, "syncthing.crt").encode())
    except ValueError as error:
        name = identity["metadata"]["name"]
        raise KeysLostError(f"syncthing.crt in Secret {name} is no certificate: restore it from a copy") from error


def _text(secret: Mapping[str, Any], key: str) -> str:
    return b64decode(secret["data"][key]).decode()
