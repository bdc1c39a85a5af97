"""Telling what was found: the view that health judges, the status, and events on transitions."""

import logging
from datetime import datetime
from typing import Any, Literal

from multiserver.api.crd import API_VERSION, KIND
from multiserver.api.names import POSTGRES_PORT
from multiserver.api.spec import Cluster
from multiserver.api.status import Condition, Status
from multiserver.control.act import Done
from multiserver.control.plan import Plan
from multiserver.control.snapshot import Snapshot, Unreadable
from multiserver.health.conditions import transitions
from multiserver.health.status import is_worth_writing, status
from multiserver.health.unreadable import unreadable
from multiserver.health.view import ActionFailure, ClusterView, SequenceUsage, Serving, SiteView
from multiserver.kube.client import Kubernetes
from multiserver.kube.errors import KubernetesError
from multiserver.kube.events import event

log = logging.getLogger(__name__)

BAD_WHEN_TRUE = frozenset({"Stalled", "Reconciling"})
SILENT = frozenset({"Reconciling"})
"""Conditions whose flips are no news: every ordinary change makes them flip."""


def view_of(snapshot: Snapshot, plan: Plan, done: Done) -> ClusterView:
    """Give what health is judged from."""
    conflict = [ActionFailure(None, "plan", why, refused=True) for why in (plan.conflict, plan.refused) if why]
    return ClusterView(
        now=snapshot.now,
        cluster=snapshot.cluster,
        sites={site.name: _site(snapshot, plan, site.name) for site in snapshot.cluster.spec.sites},
        schema_site=plan.blueprint.known_schema_site if plan.blueprint else None,
        pending=(
            *(action.words for action in plan.actions if action.words not in _waiting(done)),
            *done.waiting,
            *plan.put_off,
        ),
        failures=(*conflict, *done.failures),
    )


def _waiting(done: Done) -> set[str]:
    return {words.split(":", 1)[0] for words in done.waiting}


def _site(snapshot: Snapshot, plan: Plan, name: str) -> SiteView:
    seen, database = snapshot.seen(name), plan.databases.get(name)
    facts = seen.database
    own = next((site for site in plan.blueprint.sites if site.name == name), None) if plan.blueprint else None
    return SiteView(
        name=name,
        serving=plan.serving.get(name, Serving("Unknown")),
        server_number=own.server_number if own else None,
        address=f"{snapshot.names.host(name)}:{POSTGRES_PORT}",
        report=seen.report,
        report_is_live=seen.report_is_live,
        unreachable=seen.error,
        unreachable_since=seen.since,
        # A volume that must not be opened never takes the place of the one that is known.
        system_id=seen.system_id if database and not database.held_back else None,
        missing_links=database.missing_links if database else None,
        open=facts.opened_at is not None and facts.owner_may_login if facts else None,
        blocked=database.held_back or database.beyond_repair if database else "",
        why_closed=database.why_closed if database else "",
        closed_since=database.closed_since if database else "",
        schema_behind=database.schema_behind if database else "",
        incomplete=database.incomplete if database else (),
        sequences=tuple(
            SequenceUsage(usage.name, usage.last_value, usage.range_from, usage.range_to, usage.percent_used)
            for usage in (facts.sequences if facts else ())
            if usage.last_value is not None
        ),
    )


async def report(kubernetes: Kubernetes, snapshot: Snapshot, view: ClusterView) -> Status:
    """Write the status if it is worth it, and an event for each condition that flipped. Gives what is told now.

    Events come first: one told twice, if the operator dies in between, is better than one never told. One that the API
    server does not take is only logged: the status matters more.
    """
    return await _write(kubernetes, snapshot.cluster, snapshot.status, status(view, snapshot.status), snapshot.now)


async def report_unreadable(kubernetes: Kubernetes, found: Unreadable) -> Status:
    """Write, as `report` does, that nothing is known of a resource. Gives what is told now."""
    new = unreadable(found.status, found.generation, found.why, found.now, found.reason)
    return await _write(kubernetes, found, found.status, new, found.now)


async def _write(
    kubernetes: Kubernetes, cluster: Cluster | Unreadable, told: Status, new: Status, now: datetime
) -> Status:
    if not is_worth_writing(new, told):
        return told
    for condition in transitions(told.conditions, new.conditions):
        if condition.type not in SILENT and told.conditions:
            await _tell(kubernetes, cluster, condition, now)
    await kubernetes.apply_status(_identity(cluster), new.wire())
    return new


async def _tell(kubernetes: Kubernetes, cluster: Cluster | Unreadable, condition: Condition, now: datetime) -> None:
    """Tell a flipped condition in the log and as an event."""
    bad = condition.status != ("False" if condition.type in BAD_WHEN_TRUE else "True")
    message = f"{condition.type} is {condition.status}: {condition.message}"
    log.log(logging.WARNING if bad else logging.INFO, "%s/%s: %s", cluster.namespace, cluster.name, message)
    kind: Literal["Normal", "Warning"] = "Warning" if bad else "Normal"
    try:
        await kubernetes.create(event(_identity(cluster), kind, condition.reason, message, now))
    except KubernetesError as error:
        log.warning("%s/%s: the event is not shown: %s", cluster.namespace, cluster.name, error)


def _identity(cluster: Cluster | Unreadable) -> dict[str, Any]:
    """Give the resource as events and status writes name it."""
    metadata = {"name": cluster.name, "namespace": cluster.namespace, "uid": cluster.uid}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}
