"""How the links between two sites stand, from what both databases say. Pure facts, no decisions.

A link from P to N is a slot at P, which keeps for N what P writes, and a subscription at N. Two facts make it sound:

* The subscription counts on one **incarnation** of P, one unbroken history of P's log. If P has another one now, the
  positions that the subscription remembers mean nothing: it is stale, and made anew.
* The slot has a **birth**. N notes the birth up to which it is known to have everything from P. A slot that was made
  before P first opened has nothing behind it. Any other slot whose birth N has not noted may have a gap behind it, and
  so may a link that N doubts: it is incomplete until N's agent has fetched the difference.

So whatever happened to a slot, a volume or a site, what is to do follows from what is there; nothing is remembered.
"""

from multiserver.api import paths
from multiserver.api.names import POSTGRES_PORT
from multiserver.postgres.connect import Certificate
from multiserver.replication.links import link_name, peer_conninfo
from multiserver.replication.observe import Completeness, DatabaseFacts, Slot, Subscription
from multiserver.resources.blueprint import Blueprint, SitePlan

_SITE_CERTIFICATE = Certificate(paths.CERTIFICATE, paths.KEY, paths.TRUST)


def conninfo_to(blueprint: Blueprint, own: SitePlan, peer: SitePlan) -> str:
    """Give the connection string with which a site subscribes to a peer."""
    host = blueprint.names.host(peer.name)
    database = blueprint.cluster.spec.database.name
    return peer_conninfo(host, POSTGRES_PORT, database, _SITE_CERTIFICATE, own.server_number)


def slot_for(facts: DatabaseFacts, peer: SitePlan) -> Slot | None:
    """Give the slot that a site has for a peer."""
    return next((slot for slot in facts.slots if slot.peer_number == peer.server_number), None)


def why_useless(slot: Slot) -> str:
    """Say why a slot does not do its work any more; empty if it does."""
    if slot.wal_status == "lost":
        return "its backlog was given up for the sake of the volume"
    if slot.birth is None:
        return "where it begins is not known"
    return ""


def has_slot(facts: DatabaseFacts, peer: SitePlan) -> bool:
    """Whether a site keeps its changes for a peer."""
    slot = slot_for(facts, peer)
    return slot is not None and not why_useless(slot)


def subscription_to(facts: DatabaseFacts, peer: SitePlan) -> Subscription | None:
    """Give the subscription that a site has to a peer."""
    name = link_name(peer.server_number)
    return next((subscription for subscription in facts.subscriptions if subscription.name == name), None)


def link_from(facts: DatabaseFacts, peer: SitePlan) -> Completeness | None:
    """Give what a site has noted of the link from a peer."""
    return next((noted for noted in facts.links if noted.peer_number == peer.server_number), None)


def is_subscribed(facts: DatabaseFacts, peer: SitePlan, conninfo: str) -> bool:
    """Whether a site receives a peer's changes, as far as its own database says."""
    found = subscription_to(facts, peer)
    return found is not None and found.enabled and found.conninfo == conninfo


def is_stale(facts: DatabaseFacts, peer: SitePlan, there: DatabaseFacts | None) -> bool:
    """Whether a site's subscription counts on a history that the peer does not have any more; False if not known."""
    if subscription_to(facts, peer) is None or there is None or there.incarnation is None:
        return False
    noted = link_from(facts, peer)
    return noted is None or noted.peer_incarnation != there.incarnation


def is_complete(facts: DatabaseFacts, own: SitePlan, peer: SitePlan, there: DatabaseFacts) -> bool:
    """Whether a site is known to have all that a peer, which was opened, wrote before the peer's slot for it."""
    slot, noted = slot_for(there, own), link_from(facts, peer)
    if slot is None or why_useless(slot):
        return False
    if noted is not None and noted.doubted_at is not None:
        return False
    if slot.from_start and facts.broken_history is None:
        return True
    return noted is not None and noted.covers(slot.birth)
