"""What a site's database still needs, in order.

Invariants
* A site that has not opened has a slot for every peer before it does, so no change is ever written that is kept for
  nobody. At an open site a slot that is missing or lost is made at once, so that no more is missed; what was, the peer
  fetches (`plan.links`).
* A site opens only as `plan.joining` says; no part of a plan opens one that was closed because it was found rewound
  before it has fetched from its peers what it lacks.
* Whatever a site that has left had here goes, and only that (`plan.leaving`).
* A site that was found rewound is restarted before anything else is made there, since its log begins anew then, and no
  slot lives on (`prepare.rewound`).
"""

from dataclasses import dataclass

from multiserver.control.plan.actions import (
    Action,
    ConfigureSite,
    ForgetSite,
    InstallEngine,
    OpenSite,
    Resubscribe,
    SetRanges,
    Subscribe,
)
from multiserver.control.plan.joining import (
    beyond_repair,
    closed_since,
    givers,
    incomplete_links,
    is_marked,
    schema_behind,
    was_opened,
    why_closed,
)
from multiserver.control.plan.leaving import departed
from multiserver.control.plan.links import conninfo_to, is_stale, is_subscribed
from multiserver.control.plan.slots import slots_to_make
from multiserver.control.snapshot import Snapshot
from multiserver.numbers.declared import declared_for
from multiserver.replication.install import engine_digest
from multiserver.replication.observe import DatabaseFacts
from multiserver.resources.blueprint import Blueprint, SitePlan


@dataclass(frozen=True)
class DatabasePlan:
    """What to do at a site's database."""

    actions: tuple[Action, ...] = ()
    """In order; each needs those before it."""
    held_back: str = ""
    """Why nothing is done, and the way out; empty if the site is not held back."""
    missing_links: tuple[str, ...] = ()
    """Peers without a slot here, or without a subscription from here."""
    incomplete: tuple[str, ...] = ()
    """Peers from which the site may lack something that its agent is to fetch."""
    beyond_repair: str = ""
    """Why no comparing can bring the site what it lacks, and the way out; empty if that is not so."""
    schema_behind: str = ""
    """That it waits for schema changes which it may have missed for good; empty if it does not."""
    why_closed: str = ""
    """When a closed site opens, in words that begin with "once"; empty if it is open or opens now."""
    closed_since: str = ""
    """Since when a closed site is closed and what closed it, in words that begin with "since"; empty if it is new."""
    opens: bool = False
    """Whether the site opens, as soon as its volume is marked."""
    begins_anew: bool = False
    """Whether its server has to be restarted, at once, so that its log begins anew."""

    @property
    def is_open(self) -> bool:
        """Whether the site is open for the application already."""
        return not (self.held_back or self.why_closed or self.opens)

    @property
    def is_settled(self) -> bool:
        """Whether its links stand, and it is open or cannot open before its volume is replaced."""
        return not (self.held_back or self.missing_links) and (self.is_open or bool(self.beyond_repair))


def database_plan(snapshot: Snapshot, blueprint: Blueprint, site: str) -> DatabasePlan | None:
    """Give the plan for a site's database; None while the site does not answer."""
    seen = snapshot.seen(site)
    own = blueprint.plan(site)
    if seen.system_id is None:
        return None
    if lost := _began_empty(snapshot, blueprint, own, seen.system_id) or _lost_database(snapshot, own):
        return DatabasePlan(held_back=lost)
    facts = seen.database
    if facts is None or facts.engine_digest != engine_digest():
        return DatabasePlan((InstallEngine(site),), missing_links=tuple(peer.name for peer in _peers(blueprint, own)))
    if facts.log_must_begin_anew:
        return DatabasePlan(
            missing_links=tuple(peer.name for peer in _peers(blueprint, own)),
            why_closed="once its server has been restarted, so that its log begins anew",
            closed_since=closed_since(blueprint, facts),
            begins_anew=True,
        )
    return _linked(snapshot, blueprint, own, facts)


def _peers(blueprint: Blueprint, own: SitePlan) -> list[SitePlan]:
    return [plan for plan in blueprint.by_server_number if plan.name != own.name]


def _linked(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts) -> DatabasePlan:
    """Plan for a database that has the engine."""
    slots = slots_to_make(own, _peers(blueprint, own), facts)
    subscriptions = _subscriptions(snapshot, blueprint, own, facts)
    waiting_for = {action.peer for action in (*slots, *subscriptions)}
    to_tell = facts.declared_ranges != declared_for(own.name, blueprint.cluster.spec.number_ranges)
    ranges = [SetRanges(own.name)] if to_tell else []
    actions: list[Action] = [*_members(blueprint, own, facts), *slots]
    incomplete = incomplete_links(snapshot, blueprint, own, facts)
    is_open = facts.opened_at is not None and facts.owner_may_login
    unrepairable = beyond_repair(snapshot, blueprint, own, facts)
    closed_until = "" if is_open else _closed_until(snapshot, blueprint, own, facts, unrepairable)
    opens = not is_open and not closed_until
    if opens and is_marked(snapshot, own.name):
        complete_with = tuple(peer.name for peer in givers(snapshot, blueprint, own))
        actions += [*ranges, OpenSite(own.name, complete_with), *subscriptions]
    else:
        # A range that an open site must refuse, since its numbers are given already, keeps it from no peer.
        actions += [*subscriptions, *ranges]
    return DatabasePlan(
        tuple(actions),
        missing_links=tuple(peer.name for peer in _peers(blueprint, own) if peer.name in waiting_for),
        incomplete=incomplete,
        beyond_repair=unrepairable,
        schema_behind=schema_behind(snapshot, blueprint, own, facts),
        why_closed=closed_until,
        closed_since="" if is_open else closed_since(blueprint, facts),
        opens=opens,
    )


def _closed_until(
    snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts, unrepairable: str
) -> str:
    """Say when a closed site opens; empty if it may now. Forgetting a site doubts all links, so it comes first."""
    if unrepairable:
        return "once its data volume is replaced, since comparing cannot repair it"
    if left := departed(blueprint, facts):
        return f"once it has forgotten {', '.join(left.values())}"
    return why_closed(snapshot, blueprint, own, incomplete_links(snapshot, blueprint, own, facts))


def _members(blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts) -> list[Action]:
    """Forget who has left, and tell who there is. Who is still to be forgotten keeps his name until he is."""
    left = departed(blueprint, facts)
    actions: list[Action] = [ForgetSite(own.name, number, name) for number, name in left.items()]
    named = {number: name for number, name in left.items() if number in facts.sites}
    told = (facts.server_number, facts.schema_site, facts.sites, set(facts.local_tables))
    wanted = {plan.server_number: plan.name for plan in blueprint.members} | named
    local = set(blueprint.cluster.spec.schema_.local_tables)
    if told != (own.server_number, blueprint.plan(blueprint.schema_site).server_number, wanted, local):
        actions.append(ConfigureSite(own.name, tuple(named.items())))
    return actions


def _subscriptions(
    snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts
) -> list[Subscribe | Resubscribe]:
    """Give what makes a subscription that counts on the peer's present history, to every peer, also one that leaves."""
    actions: list[Subscribe | Resubscribe] = []
    for peer in (plan for plan in blueprint.members if plan.name != own.name):
        there = snapshot.seen(peer.name).database
        incarnation = there.incarnation if there is not None else None
        if is_stale(facts, peer, there):
            actions.append(Resubscribe(own.name, peer.name, incarnation))
        elif not is_subscribed(facts, peer, conninfo_to(blueprint, own, peer)):
            actions.append(Subscribe(own.name, peer.name, incarnation))
    return actions


def _began_empty(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, system_id: str) -> str:
    """Say that a site came back with a new, empty database in place of the one that is known; empty if it did not."""
    facts = snapshot.seen(own.name).database
    known = {heard for heard in _heard_of(snapshot, own) if heard != system_id}
    is_empty = facts is None or (not was_opened(facts) and facts.broken_history is None)
    if not known or not is_empty:
        return ""
    donors = blueprint.donors(own.name)
    cure = f"empty it, and it is filled again from {donors[0]}" if donors else "restore it from the site's backups"
    return (
        f"{own.name} has a new, empty database (system id {system_id}, known is {', '.join(sorted(known))}). It is "
        f"kept closed, since nothing of what was written is in it. Bring the old volume back, or {cure}"
    )


def _lost_database(snapshot: Snapshot, own: SitePlan) -> str:
    """Say that a volume that was opened does not have the declared database; empty if that is not so."""
    if snapshot.seen(own.name).database is not None or not is_marked(snapshot, own.name):
        return ""
    names, name = snapshot.names, snapshot.cluster.spec.database.name
    return (
        f"{own.name} has no database {name}, and its data volume {names.volume(own.name, 'data')} was opened with one "
        "before. It is kept closed, since nothing of what was written would be in a new one. Which databases it has: "
        f"kubectl exec {names.pod(own.name)} --container postgres -- psql --list. If the application's has another "
        "name, set deletionPolicy to Retain, delete the resource, and apply it with that spec.database.name. If there "
        "is none, bring the old volume back, or restore it from the site's backups"
    )


def _heard_of(snapshot: Snapshot, own: SitePlan) -> set[str]:
    """Give the system ids under which the status and the peers know a site."""
    told = {site.system_id for site in snapshot.status.sites if site.name == own.name and site.system_id}
    heartbeats = (
        heartbeat
        for name, seen in snapshot.sites.items()
        if name != own.name and seen.database is not None
        for heartbeat in seen.database.heartbeats
    )
    return told | {beat.system_identifier for beat in heartbeats if beat.server_number == own.server_number}
