"""What operator and agents do to a site again and again, step by step and from facts: the parts of a round.

Each part may be killed at any point and repeated. Who reaches whom, and over which line, is the caller's.
"""

from collections.abc import Awaitable, Mapping

from multiserver.postgres.connect import Connection, connect
from multiserver.replication import compare, completeness, leave, links, observe, pull, rewind, slots
from tests.postgres.mesh import Site

NOT_YET = (links.NotReady, compare.NotComparable)


async def attempt(step: Awaitable[bool]) -> bool:
    """Do a step; one that must wait counts as a change to come."""
    try:
        return await step
    except NOT_YET:
        return True


async def keep_for_peers(connection: Connection, number: int, names: Mapping[int, str]) -> bool:
    """Tell a site who there is, have it forget who left, make its slots; tell whether something changed or waits."""
    changed = await links.ensure_site(connection, number, min(names), dict(names))
    facts = await observe.observe(connection)
    linked = {int(made.name.rpartition("_")[2]) for made in facts.subscriptions}
    linked |= {slot.peer_number for slot in facts.slots} | {link.peer_number for link in facts.links}
    for left in linked - names.keys():
        changed |= await attempt(leave.ensure_forgotten(connection, left))
    for peer in names.keys() - {number}:
        changed |= await attempt(slots.ensure_slot(connection, peer))
    return changed


async def complete_link(own: Connection, there: Connection, number: int) -> bool:
    """Do what a site's agent does for one link; tell whether it was incomplete."""
    told = await completeness.ask_peer(there, number)
    if told is None or await completeness.is_complete(own, told):
        return False
    began = await own.value("select clock_timestamp()")
    await pull.pull(own, there)
    await completeness.note_pull(own, told, began)
    return True


async def renounce_if_rewound(own: Connection, there: Connection, number: int) -> bool:
    """Ask a peer how it knows a site, and act on it; tell whether the site was put back in time."""
    incarnation = await rewind.rewound_incarnation(own, there, number)
    return incarnation is not None and await rewind.renounce(own, incarnation)


async def facts_of(site: Site) -> observe.DatabaseFacts:
    """Look at a site's database."""
    async with connect(site.target()) as connection:
        return await observe.observe(connection)
