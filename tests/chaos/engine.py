"""Journal and merge as a history needs it: built, repaired, drained and read, by the product's own actions."""

import asyncio
import time
from dataclasses import replace
from functools import partial

from multiserver.postgres.connect import connect
from multiserver.postgres.errors import DatabaseError
from multiserver.replication import compare, completeness, links, pull, slots, subscriptions
from tests.chaos.arena import Arena, within
from tests.chaos.facts import SiteFacts, read_site
from tests.postgres.mesh import Site, install_engine

DRAIN_SECONDS = 60.0
LEFTOVER_SECONDS = 10.0
"""How long it may take until all is forgotten that nobody needs."""


class Engine:
    """Journal and merge, built and repaired with the product's own actions."""

    def build(self, place: Arena, tables: tuple[str, ...]) -> None:
        asyncio.run(self._build(place))
        for table in tables:
            place.sites[0].sql(table)
        undrained = self.drain(place)
        assert not undrained, undrained

    async def _build(self, place: Arena) -> None:
        names = {site.number: site.name for site in place.sites}
        for site in place.sites:
            wanted = links.desired_links(site.number, names)
            await install_engine(site)
            async with connect(site.target()) as connection:
                await links.ensure_site(connection, site.number, 1, names)
                for number in wanted.slots_for:
                    await slots.ensure_slot(connection, number)
                await links.ensure_open(connection, wanted.slots_for)
        for site in place.sites:
            async with connect(site.target()) as connection:
                for peer in links.desired_links(site.number, names).subscriptions_to:
                    target = place.reach(site.number, peer)
                    async with connect(target) as there:
                        facts = await completeness.ask_peer(there, site.number)
                    assert facts is not None
                    conninfo = target.conninfo(connect_timeout=5)
                    await subscriptions.ensure_subscription(connection, peer, conninfo, facts.incarnation)

    def drain(self, place: Arena) -> list[str]:
        deadline = time.monotonic() + DRAIN_SECONDS
        return repair(place, deadline) or self._drain(place.sites, deadline)

    def _drain(self, sites: list[Site], deadline: float) -> list[str]:
        """Wait for heartbeats, by position and not by time: clocks may be wrong. The second ones settle parked rows."""
        for _ in range(2):
            positions = {site.number: site.admin("select pg_current_wal_insert_lsn()::text")[0] for site in sites}
            for site in sites:
                site.admin("select multiserver.beat()")
            undrained = [
                f"site {site.number} has not received all of site {peer.number} within {DRAIN_SECONDS:g} s"
                for site in sites
                for peer in sites
                if peer is not site
                and not within(deadline - time.monotonic(), partial(has_received, site, peer, positions[peer.number]))
            ]
            if undrained:
                return [*undrained, *(f"site {site.number} says: {site.server.last_words()[-800:]}" for site in sites)]
        return []

    def read(self, place: Arena) -> list[SiteFacts]:
        sites = place.sites
        before = {site.number: site.link_error_count() for site in sites}
        facts = [read_site(site) for site in sites]
        self._drain(sites, time.monotonic() + DRAIN_SECONDS)
        facts = [
            replace(read, link_errors=link_errors(site, before[site.number]))
            for site, read in zip(sites, facts, strict=True)
        ]
        within(LEFTOVER_SECONDS, partial(forgets_all, sites))
        return [replace(read, leftovers=leftovers(site)) for site, read in zip(sites, facts, strict=True)]


def keep_small(sites: list[Site]) -> None:
    """Let the sites forget what they need no longer: three heartbeats tell all how far all are, then two calls use it.

    A call that finds merging busy does nothing, so some more are made.
    """
    for _ in range(3):
        for site in sites:
            site.admin("select multiserver.beat()")
    for site in sites:
        site.admin("update multiserver.limits set collection_margin = '0'")
        for _ in range(5):
            site.admin("select multiserver.collect_registers()")


LEFTOVERS = """
select 'a reason to keep everything: ' || multiserver.collection_hold() where multiserver.collection_hold() is not null
union all
select format('tombstone of %%s %%s up to the horizon', table_name, key) from multiserver.versions()
where deleted and version <= multiserver.collected_horizon()
union all
select 'rows in the journal' where not multiserver.purge_journal() or pg_relation_size('multiserver.journal') > 0
"""


def leftovers(site: Site) -> tuple[str, ...]:
    """Return what a site should have forgotten."""
    return tuple(f"site {site.number} still has {what}" for what in site.admin(LEFTOVERS, []))


def forgets_all(sites: list[Site]) -> bool:
    keep_small(sites)
    return not any(leftovers(site) for site in sites)


def has_received(site: Site, peer: Site, position: str) -> bool:
    query = "select 1 from multiserver.heartbeats where server_number = %s and sent_lsn >= %s::pg_lsn"
    return bool(site.admin(query, [peer.number, position]))


IDLE_SUBSCRIPTIONS = """
select s.subname from pg_subscription s
left join pg_stat_subscription a on a.subid = s.oid and a.worker_type = 'apply'
where s.subdbid = (select oid from pg_database where datname = current_database())
  and (not s.subenabled or a.pid is null)
"""


def link_errors(site: Site, errors_before: int) -> tuple[str, ...]:
    """Return what is wrong with a site's subscriptions; errors count that came after the mesh had drained."""
    idle = tuple(f"subscription {name} at site {site.number} is not at work" for name in site.admin(IDLE_SUBSCRIPTIONS))
    new = site.link_error_count() - errors_before
    return idle + ((f"site {site.number} failed to merge {new} times after all had come",) if new else ())


def repair(place: Arena, deadline: float) -> list[str]:
    """Do what operator and agents do about lost slots; return a sentence for each link that stays incomplete."""
    for site in place.sites:
        asyncio.run(ensure_slots(place, site))
    return [
        f"site {receiver} could not pull from site {sender}, which lost its slot, within {DRAIN_SECONDS:g} s"
        for receiver, sender in place.lines
        if not within(deadline - time.monotonic(), lambda: asyncio.run(complete(place, receiver, sender)))  # noqa: B023
    ]


async def ensure_slots(place: Arena, site: Site) -> None:
    async with connect(site.target()) as connection:
        for receiver, sender in place.lines:
            if sender == site.number:
                await slots.ensure_slot(connection, receiver)


async def complete(place: Arena, receiver: int, sender: int) -> bool:
    """Let the receiver pull from the sender if anything may be missing between them; say whether nothing is now."""
    try:
        async with connect(place.site(receiver).target()) as own, connect(place.reach(receiver, sender)) as peer:
            facts = await completeness.ask_peer(peer, receiver)
            if facts is None or await completeness.is_complete(own, facts):
                return facts is not None
            began = await own.value("select clock_timestamp()")
            await pull.pull(own, peer)
            return await completeness.note_pull(own, facts, began)
    except (DatabaseError, compare.NotComparable):
        return False
