"""When a site that is no longer declared may go, and what its peers drop after it.

A site whose database answers hands over first: it is closed for the application and stays until a peer has all that was
written there; what that peer has, the others fetch from it. A site whose server is broken goes at once, with what only
it has; its volume is kept. One that merely does not answer is waited for. In any case its server is deleted first, and
all else that was made for it afterwards; volumes, keys and its number are kept. Only then do its peers drop their
subscriptions and slots for it and forget it, which makes each of them compare itself with each other once: a site's
last changes may have reached only some of them.

Whoever waits in vain deletes the site's StatefulSet: a site without one has gone.
"""

from dataclasses import dataclass

from multiserver.control.plan.actions import Action, CloseSite
from multiserver.control.plan.links import is_complete, slot_for
from multiserver.control.plan.slots import slots_to_make
from multiserver.control.snapshot import Snapshot
from multiserver.replication.observe import DatabaseFacts
from multiserver.resources.blueprint import Blueprint, SitePlan


@dataclass(frozen=True)
class Departure:
    """How far a leaving site is."""

    may_go: bool
    """Whether what was made for it may be deleted."""
    actions: tuple[Action, ...] = ()
    why_not: str = ""
    """What it waits for, and the way out; empty if it may go."""


def departure(snapshot: Snapshot, blueprint: Blueprint, site: str, is_broken: bool) -> Departure:
    """Give how far a leaving site is; `is_broken` is what Kubernetes says of its server."""
    facts = snapshot.seen(site).database
    if facts is None:
        if snapshot.seen(site).system_id is not None:
            return Departure(may_go=True)  # It answers and has no database of the application yet.
        if is_broken:
            return Departure(may_go=True)
        return _waits(snapshot, site, "it answers, to hand over what its peers lack")
    if facts.opened_at is not None:
        return Departure(may_go=False, actions=(CloseSite(site),))
    if facts.closed_at is None:
        return Departure(may_go=True)  # Nothing was ever written there.
    if facts.closed_lsn is None:
        return Departure(may_go=False, actions=(CloseSite(site),))
    own = blueprint.plan(site)
    if behind := _behind(snapshot, blueprint, own, facts):
        slots = tuple(slots_to_make(own, blueprint.sites, facts))
        return _waits(snapshot, site, f"{behind} has all that was written there", slots)
    if cut_short := _files_behind(snapshot, blueprint, site):
        return _waits(snapshot, site, f"{cut_short} has all of its files")
    return Departure(may_go=True)


def _waits(snapshot: Snapshot, site: str, event: str, actions: tuple[Action, ...] = ()) -> Departure:
    owner = snapshot.names.site(site)
    return Departure(
        may_go=False,
        actions=actions,
        why_not=f"let {site} leave: once {event}. If it is gone for good: kubectl delete statefulset {owner}",
    )


def _behind(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts) -> str:
    """Say which peers still lack what a closed site wrote; empty once one has all, and so has every one connected.

    One that is cut off is not waited for: it fetches from the others.
    """
    behind = [peer for peer in blueprint.sites if not _has_all(snapshot, own, peer, facts)]
    connected = [peer for peer in behind if (slot := slot_for(facts, peer)) and slot.active]
    if len(behind) < len(blueprint.sites) and not connected:
        return ""
    return " or ".join(peer.name for peer in connected or behind)


def _has_all(snapshot: Snapshot, own: SitePlan, peer: SitePlan, facts: DatabaseFacts) -> bool:
    """Whether a peer has confirmed all that is behind its slot, and nothing is missing before that."""
    there = snapshot.seen(peer.name).database
    return there is not None and facts.is_drained([peer.server_number]) and is_complete(there, peer, own, facts)


def _files_behind(snapshot: Snapshot, blueprint: Blueprint, site: str) -> str:
    """Say which peers still lack files of a leaving site, by its own word; empty once one has all, or if none says."""
    seen = snapshot.seen(site)
    staying = {plan.name for plan in blueprint.sites}
    if seen.report is None or not seen.report_is_live:
        return ""
    told = {peer.name: peer.files_percent or 0 for peer in seen.report.peers if peer.files_reachable}
    held = {name: percent for name, percent in told.items() if name in staying}
    if not held or max(held.values()) >= 100:
        return ""
    return " or ".join(f"{name} ({percent:.0f} %)" for name, percent in held.items())


def departed(blueprint: Blueprint, facts: DatabaseFacts) -> dict[int, str]:
    """Give the sites that have left and that a database has still to forget, by number."""
    members = {plan.server_number for plan in blueprint.members}
    linked = {noted.peer_number for noted in facts.links} | {slot.peer_number for slot in facts.slots}
    linked |= {int(subscription.name.rpartition("_")[2]) for subscription in facts.subscriptions}
    return {number: facts.sites.get(number, f"number {number}") for number in sorted(linked - members)}
