"""Journal and merge as a history needs it: built, repaired, drained and read, by the product's own actions."""

import asyncio
import time
from dataclasses import replace
from functools import partial

from multiserver.postgres.connect import connect
from multiserver.replication import completeness, links, slots, subscriptions
from tests.chaos.arena import Arena, within
from tests.chaos.facts import SiteFacts, read_site
from tests.chaos.rounds import Rounds
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
        rounds = Rounds(place)
        left = rounds.settle(deadline)
        left += [f"site {number} takes itself for one that was put back in time" for number in rounds.renounced]
        return left or self._drain(place.sites, deadline)

    def _drain(self, sites: list[Site], deadline: float) -> list[str]:
        """Wait for heartbeats, by position and not by time: clocks may be wrong. The second ones settle parked rows."""
        for _ in range(2):
            positions = {site.number: site.admin(POSITION)[0] for site in sites}
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
            site.admin("select multiserver.beat() from multiserver.site_settings")  # none while it has no number yet
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


POSITION = "select incarnation::text, pg_current_wal_insert_lsn()::text from multiserver.site_settings"


def has_received(site: Site, peer: Site, position: tuple[str, str]) -> bool:
    """Has a site heard its peer since this position? It counts in one incarnation only."""
    query = """
    select 1 from multiserver.heartbeats where server_number = %s and incarnation = %s::uuid and sent_lsn >= %s::pg_lsn
    """
    return bool(site.admin(query, [peer.number, *position]))


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


async def ensure_slots(place: Arena, site: Site) -> None:
    async with connect(site.target()) as connection:
        for receiver in place.names.keys() - {site.number}:
            await slots.ensure_slot(connection, receiver)
