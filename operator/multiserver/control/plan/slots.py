"""Which slots a site is to make, so that what it writes is kept for every peer."""

from collections.abc import Iterable

from multiserver.control.plan.actions import MakeSlot, ReplaceSlot
from multiserver.control.plan.links import slot_for, why_useless
from multiserver.replication.observe import DatabaseFacts
from multiserver.resources.blueprint import SitePlan


def slots_to_make(own: SitePlan, peers: Iterable[SitePlan], facts: DatabaseFacts) -> list[MakeSlot | ReplaceSlot]:
    """Give what makes a slot for each of these peers."""
    actions: list[MakeSlot | ReplaceSlot] = []
    for peer in peers:
        slot = slot_for(facts, peer)
        if slot is None:
            actions.append(MakeSlot(own.name, peer.name))
        elif why := why_useless(slot):
            actions.append(ReplaceSlot(own.name, peer.name, why))
    return actions
