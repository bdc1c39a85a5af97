"""The plan: from what is declared and what is, to what to do now. Pure: no I/O, no clock, no randomness.

Level-triggered: each round plans anew from what is there, so any action may be lost, repeated or half done. The order
is keys, then objects, then for each site, apart from the others, its database. Whatever was interrupted, planning again
from where it stopped ends where an uninterrupted run ends; tests/unit/control holds that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from multiserver.api.names import SITE_LABEL, VOLUME_PURPOSES
from multiserver.control.plan.actions import Action, RestartPod
from multiserver.control.plan.children import to_apply, to_delete
from multiserver.control.plan.databases import DatabasePlan, database_plan
from multiserver.control.plan.joining import why_not_made
from multiserver.control.plan.keys import KeysLostError, blueprint_of, missing_keys, newcomers
from multiserver.control.plan.leaving import Departure, departure
from multiserver.control.plan.owners import owners_to_set
from multiserver.control.plan.releases import with_its_pod
from multiserver.control.plan.restarts import PodState, to_restart
from multiserver.control.plan.schema_site import SchemaSiteGoneError, why_not_moved
from multiserver.control.plan.server_numbers import NumbersConflictError
from multiserver.control.snapshot import Snapshot
from multiserver.health.pods import explain, is_server_running
from multiserver.health.view import Serving
from multiserver.resources.assembly import cluster_objects, site_objects
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.retention import retention
from multiserver.resources.secrets import connections

CONTROLLER_REVISION_LABEL = "controller-revision-hash"


@dataclass(frozen=True)
class Plan:
    """What to do now."""

    cluster: tuple[Action, ...] = ()
    """First, in order; a failure stops the rest of the round but for what is done in databases."""
    sites: Mapping[str, tuple[Action, ...]] = field(default_factory=dict)
    """Then, all sites side by side; a failure stops only the rest of that site."""
    blueprint: Blueprint | None = None
    """What was planned from; None until all keys are made but those of new sites."""
    databases: Mapping[str, DatabasePlan] = field(default_factory=dict)
    """The plan of each database that answers."""
    serving: Mapping[str, Serving] = field(default_factory=dict)
    """Whether each site's pod serves."""
    put_off: tuple[str, ...] = ()
    """What is still to do, but not now; each in words with the reason."""
    refused: str = ""
    """What the resource asks for and cannot be done, and the way out; all else is planned."""
    conflict: str = ""
    """Why nothing can be planned at all, and the way out."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions."""
        return (*self.cluster, *(action for actions in self.sites.values() for action in actions))


def plan(snapshot: Snapshot) -> Plan:
    """Give what to do now."""
    serving = {site.name: serving_of(snapshot, site.name) for site in snapshot.cluster.spec.sites}
    try:
        new = newcomers(snapshot)
        snapshot = snapshot.without(new.why_not)
        keys = missing_keys(snapshot)
        if keys:
            return Plan(cluster=(*owners_to_set(snapshot), *keys), serving=serving)
        blueprint = blueprint_of(snapshot)
    except (KeysLostError, NumbersConflictError, SchemaSiteGoneError) as conflict:
        return Plan(cluster=tuple(owners_to_set(snapshot)), serving=serving, conflict=str(conflict))
    serving = {plan.name: serving[plan.name] for plan in blueprint.sites}
    databases = {name: found for name in serving if (found := database_plan(snapshot, blueprint, name))}
    blueprint = replace(blueprint, opened=blueprint.opened | {name for name, found in databases.items() if found.opens})
    not_made = {name: why for name in serving if (why := why_not_made(snapshot, blueprint, name))}
    for name, why in not_made.items():
        serving[name] = Serving("Starting", why)
    departures = _departures(snapshot, blueprint)
    shared = [*_secrets(snapshot, blueprint), *cluster_objects(blueprint)]
    own = {name: with_its_pod(snapshot, blueprint.plan(name), site_objects(blueprint, name)) for name in serving}
    desired = [*shared, *(item for items in own.values() for item in items)]
    staying = frozenset(name for name, found in departures.items() if not found.may_go)
    restarts = _restarts(snapshot, serving, databases)
    sites = {
        name: (
            *to_apply(_without_server(own[name]) if name in not_made else own[name], snapshot.objects),
            *(databases[name].actions if name in databases else ()),
            *([restarts[name]] if name in restarts else []),
        )
        for name in serving
    }
    return Plan(
        cluster=(*to_apply(shared, snapshot.objects), *to_delete(desired, snapshot.objects, staying)),
        sites=_joined(sites, _of_undeclared(snapshot, desired, departures), {s: (key,) for s, key in new.keys.items()}),
        blueprint=blueprint,
        databases=databases,
        serving=serving | {name: Serving("Starting", why) for name, why in new.why_not.items()},
        put_off=(
            *(why for found in departures.values() if (why := found.why_not)),
            *not_made.values(),
            *(
                f"open {name} for the application: {found.why_closed}"
                for name, found in databases.items()
                if found.why_closed
            ),
            *(why for name in serving if name not in restarts and (why := _put_off(snapshot, name))),
        ),
        refused="; ".join(
            why for why in (why_not_moved(snapshot, blueprint.known_schema_site), *new.refused.values()) if why
        ),
    )


def _departures(snapshot: Snapshot, blueprint: Blueprint) -> dict[str, Departure]:
    """Give how far each leaving site is."""
    return {
        name: departure(snapshot, blueprint, name, _is_broken(snapshot, name, serving_of(snapshot, name)))
        for name in snapshot.leaving
    }


def _of_undeclared(
    snapshot: Snapshot, desired: list[dict[str, Any]], departures: Mapping[str, Departure]
) -> dict[str, tuple[Action, ...]]:
    """Give what is done for sites that nothing is built for: whom their volumes belong to, and their departure."""
    owners = owners_to_set(snapshot, {(item["kind"], item["metadata"]["name"]) for item in desired})
    return _joined(
        *({owner.desired["metadata"]["labels"][SITE_LABEL]: (owner,)} for owner in owners),
        {site: found.actions for site, found in departures.items() if found.actions},
    )


def _joined(*parts: Mapping[str, tuple[Action, ...]]) -> dict[str, tuple[Action, ...]]:
    """Give the actions of all parts, by site, in the order of the parts."""
    actions: dict[str, tuple[Action, ...]] = {}
    for part in parts:
        for site, more in part.items():
            actions[site] = (*actions.get(site, ()), *more)
    return actions


def _without_server(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give what a site's server needs, without the server and what speaks to it."""
    return [item for item in objects if item["kind"] not in ("StatefulSet", "CronJob")]


def _secrets(snapshot: Snapshot, blueprint: Blueprint) -> list[dict[str, Any]]:
    """Give what is applied to Secrets: who owns those made once, and how applications connect."""
    names = snapshot.names
    made_once = [
        *(names.identity(site.name) for site in blueprint.sites),
        names.operator_identity,
        names.backup_passphrase,
    ]
    kept = [retention(snapshot.cluster, snapshot.objects["Secret", name]) for name in made_once]
    return [*kept, *connections(blueprint, snapshot.objects["Secret", names.application])]


def serving_of(snapshot: Snapshot, site: str) -> Serving:
    """Judge a site's pod from what Kubernetes says."""
    names = snapshot.names
    claims = _claims(snapshot, site)
    own = {names.site(site), names.pod(site), *(claim["metadata"]["name"] for claim in claims)}
    warnings = [event for event in snapshot.warnings if event["involvedObject"].get("name") in own]
    return explain(snapshot.get("Pod", names.pod(site)), claims, warnings, snapshot.now)


def _is_broken(snapshot: Snapshot, site: str, judged: Serving) -> bool:
    """Whether a site's pod is there and its PostgreSQL does not come up; a failing agent or Syncthing is not that."""
    pod = snapshot.get("Pod", snapshot.names.pod(site))
    return pod is not None and judged.state == "NotReady" and not is_server_running(pod)


def _pod_states(
    snapshot: Snapshot, serving: Mapping[str, Serving], databases: Mapping[str, DatabasePlan]
) -> dict[str, PodState]:
    states = {}
    for site, judged in serving.items():
        found = databases.get(site)
        is_ready = judged.state == "Ready"
        states[site] = PodState(
            outdated=_is_outdated(snapshot, site) and not _is_volume_going(snapshot, site),
            broken=_is_broken(snapshot, site, judged),
            serves=is_ready and found is not None and found.is_open,
            answers=found is not None and _is_staying(snapshot, site),
            healthy=is_ready and found is not None and found.is_settled,
        )
    return states


def _put_off(snapshot: Snapshot, site: str) -> str:
    """Say why a site's pod is not yet what is declared although nothing is done about it now; empty if it is."""
    owner = snapshot.get("StatefulSet", snapshot.names.site(site))
    if owner is not None and not _is_dealt_with(owner):
        return f"site {site}: Kubernetes has not dealt with its changed StatefulSet yet"
    if not _is_outdated(snapshot, site):
        return ""
    if _is_volume_going(snapshot, site):
        return f"restart site {site}: not while a volume of it is being deleted, which only its pod still keeps"
    return f"restart site {site}: once all other sites serve"


def _is_volume_going(snapshot: Snapshot, site: str) -> bool:
    """Whether someone deleted a volume of the site: its pod, while it runs, is all that still keeps the data."""
    return any(claim["metadata"].get("deletionTimestamp") for claim in _claims(snapshot, site))


def _claims(snapshot: Snapshot, site: str) -> list[Mapping[str, Any]]:
    names = (snapshot.names.volume(site, purpose) for purpose in VOLUME_PURPOSES)
    return [claim for name in names if (claim := snapshot.get("PersistentVolumeClaim", name))]


def _is_outdated(snapshot: Snapshot, site: str) -> bool:
    """Whether the pod has an older revision than its StatefulSet, which the StatefulSet's controller has seen."""
    pod = snapshot.get("Pod", snapshot.names.pod(site))
    owner = snapshot.get("StatefulSet", snapshot.names.site(site))
    if pod is None or owner is None or not _is_staying(snapshot, site):
        return False
    revision = pod["metadata"].get("labels", {}).get(CONTROLLER_REVISION_LABEL)
    return _is_dealt_with(owner) and revision != owner["status"].get("updateRevision")


def _is_staying(snapshot: Snapshot, site: str) -> bool:
    """Whether a site has a pod that nobody stops already."""
    pod = snapshot.get("Pod", snapshot.names.pod(site))
    return pod is not None and not pod["metadata"].get("deletionTimestamp")


def _is_dealt_with(owner: Mapping[str, Any]) -> bool:
    """Whether the StatefulSet's controller has seen it as it is now."""
    return bool(owner.get("status", {}).get("observedGeneration") == owner["metadata"].get("generation"))


def _restarts(
    snapshot: Snapshot, serving: Mapping[str, Serving], databases: Mapping[str, DatabasePlan]
) -> dict[str, RestartPod]:
    """Give the pods to restart now. A site that is closed until its log has begun anew serves nobody meanwhile."""
    restarts = {}
    for site in to_restart(_pod_states(snapshot, serving, databases)):
        restarts[site] = RestartPod(site, snapshot.objects["Pod", snapshot.names.pod(site)])
    for site in (name for name, found in databases.items() if found.begins_anew):
        if _is_staying(snapshot, site) and not _is_volume_going(snapshot, site):
            pod = snapshot.objects["Pod", snapshot.names.pod(site)]
            restarts[site] = RestartPod(site, pod, "it was put back in time and its log has to begin anew")
    return restarts
