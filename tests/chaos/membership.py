"""What befalls the members of a mesh: one joins, one leaves, one loses its volume, one is put back in time.

Each is an act for the keeper. Nothing that a client was told may be lost by any of them. So before a volume goes, the
site's clients pause, or end, until a peer has everything that the site wrote; and what the checks judge by, its journal
and its conflict log, is read then.
"""

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL

from multiserver.postgres.connect import connect
from multiserver.replication import leave
from multiserver.replication.observe import DatabaseFacts, lsn_number
from tests.chaos.facts import read_past
from tests.chaos.keeper import Act, Keeper, has_all_of, holds, is_open, look, serves, until
from tests.chaos.rounds import WITHOUT_PEERS
from tests.chaos.scenario import SCHEMA_SITE
from tests.postgres.mesh import NAMES, Site

LEAST_MEMBERS = 2
"""Fewer are no mesh: a single site captures nothing."""

IsHeir = Callable[[DatabaseFacts, DatabaseFacts], bool]
"""Whether a peer has all that a site wrote, from the facts of both: the peer's, then the site's."""


def join(keeper: Keeper, number: int, _: int) -> Act:
    """A new site is copied from a donor, and its clients begin."""
    place = keeper.place
    place.names = {**place.names, number: NAMES[number]}
    yield from until("all members keep their changes for the new site", lambda: all_keep_for(keeper, number))
    site = Site(number, place.joining[number])
    yield from filled(keeper, site, 0)
    place.sites = [*place.sites, site]
    yield from opened(keeper, site)
    keeper.crew.begin_at(site)


def leave_in_order(keeper: Keeper, number: int, _: int) -> Act:
    """A site is closed; once a peer has all that it wrote it goes, and is forgotten."""
    place = keeper.place
    if number not in place.names or len(place.names) <= LEAST_MEMBERS:
        return
    site = place.site(number)
    keeper.rounds.leaving.add(number)
    keeper.crew.progress.dismiss(number)
    yield from until("the site that leaves is closed", lambda: is_closed(site))
    is_heir: IsHeir = lambda peer, own: own.is_drained([peer.server_number or 0])  # noqa: E731
    yield from until("a peer has all that the site wrote", lambda: bury(keeper, site, is_heir) is not None)
    place.names = {other: name for other, name in place.names.items() if other != number}
    place.sites = [other for other in place.sites if other is not site]


def lose_volume(keeper: Keeper, number: int, _: int) -> Act:
    """A site's data is gone; it is filled again from a peer."""
    if number not in keeper.place.names:
        return
    site = keeper.place.site(number)
    lost = yield from ended(keeper, site)
    yield from filled(keeper, site, lost.schema_version or 0)
    yield from opened(keeper, site)
    keeper.crew.progress.resume(number)


def save(keeper: Keeper, number: int, index: int) -> Act:
    """A snapshot is taken of a site's volume, with a restart."""
    if number in keeper.place.names:
        site = keeper.place.site(number)
        yield from until("the site is there to be saved", lambda: save_now(keeper, site, index))


def put_back(keeper: Keeper, number: int, index: int) -> Act:
    """The snapshot is put back: the site finds it out, fetches what it lacks, and opens again."""
    saved = saved_as(keeper, index)
    if number not in keeper.place.names or not saved.exists():
        return
    site, rounds = keeper.place.site(number), keeper.rounds
    lost = yield from ended(keeper, site)
    rounds.renounced.discard(number)
    with keeper.place.hands[number]:
        site.server.put_back(saved)
        site.server.start()
        keeper.circumstances.apply_anew(site)
    yield from until("the site finds out that it was put back in time", lambda: number in rounds.renounced)
    rounds.renounced.discard(number)
    was = yield from seen(site)
    if (was.schema_version or 0) < (lost.schema_version or 0):
        rounds.beyond_repair.add(number)  # Schema changes come once, by the stream.
    yield from opened(keeper, site, lost.schema_version or 0)
    keeper.crew.progress.resume(number)


def ended(keeper: Keeper, site: Site) -> Generator[str, None, DatabaseFacts]:
    """Pause a site's clients until a peer has all that it wrote, then kill its server; give its last facts."""
    progress = keeper.crew.progress
    progress.pause(site.number)
    yield from until("the site's clients pause", lambda: progress.is_idle(site.number))
    mark = yield from seen(site)

    def is_heir(peer: DatabaseFacts, own: DatabaseFacts) -> bool:
        return any(
            beat.server_number == site.number
            and beat.incarnation == own.incarnation == mark.incarnation
            and lsn_number(beat.sent_lsn) >= lsn_number(mark.current_lsn)
            for beat in peer.heartbeats
        ) and (peer.schema_version or 0) >= (own.schema_version or 0)

    buried: list[DatabaseFacts] = []

    def is_buried() -> bool:
        last = bury(keeper, site, is_heir)
        buried.extend([last] if last is not None else [])
        return last is not None

    yield from until("a peer has all that the site wrote", is_buried)
    return buried[0]


def seen(site: Site) -> Generator[str, None, DatabaseFacts]:
    """Look at a site, once it is there."""
    found: list[DatabaseFacts] = []
    yield from until("the site is there", lambda: found.append(look(site)) is None)
    return found[0]


def bury(keeper: Keeper, site: Site, is_heir: IsHeir | None = None) -> DatabaseFacts | None:
    """Read what a site has written and kill its server; give its last facts. None, if no peer is its heir yet.

    Meanwhile nothing is merged at the site, so that it logs no conflict that nobody would ever read.
    """
    place = keeper.place
    with place.hands[site.number]:
        if not place.is_running(site.number):
            return None
        with closing(site.server.connect("app", "postgres")) as connection:
            connection.execute("begin")
            connection.execute("select multiserver.lock_merging()")
            last = look(site)
            peers = [look(peer) for peer in place.running if peer is not site]
            if is_heir and not any(p.opened_at and has_all_of(p, last) and is_heir(p, last) for p in peers):
                return None
            if is_heir and site.number == SCHEMA_SITE and not all_have_schema(keeper, peers, last):
                return None
            place.past.append(read_past(site))
            site.server.stop(SIGKILL)
    return last


def all_have_schema(keeper: Keeper, peers: Sequence[DatabaseFacts], lost: DatabaseFacts) -> bool:
    """Has every other member the schema of the schema site? What its log has not told them they never hear again."""
    up_to_date = {p.server_number for p in peers if (p.schema_version or 0) >= (lost.schema_version or 0)}
    return up_to_date >= keeper.place.names.keys() - {lost.server_number}


def filled(keeper: Keeper, site: Site, schema_version: int) -> Act:
    """Fill a site's volume from a donor; again, if the donor dies meanwhile."""
    yield from until("a donor fills the site", lambda: fill_now(keeper, site, schema_version))
    keeper.rounds.beyond_repair.discard(site.number)


def fill_now(keeper: Keeper, site: Site, schema_version: int) -> bool:
    place = keeper.place
    with place.hands[site.number]:
        donors = [peer for peer in place.running if peer is not site and can_give(keeper, peer, schema_version)]
        donor = min(donors, key=last_word, default=None)
        if donor is None:
            return False
        site.fill_from(donor)
        keeper.circumstances.apply_anew(site)
    return True


def can_give(keeper: Keeper, donor: Site, schema_version: int) -> bool:
    """Is a donor open, its schema as new as this and the schema site's? What peers have sent they do not repeat."""
    schema_site = keeper.place.site(SCHEMA_SITE)
    newest = [schema_version]
    if schema_site.server.process is not None and schema_site is not donor:
        newest.append(look(schema_site).schema_version or 0)
    facts = look(donor)
    return serves(facts) and (facts.schema_version or 0) >= max(newest)


def opened(keeper: Keeper, site: Site, schema_version: int = 0) -> Act:
    """Wait until a site is open; one whose volume is beyond repair is filled again."""
    while not holds(lambda: is_open(site)):
        if site.number in keeper.rounds.beyond_repair:
            yield from until("the volume is emptied", lambda: bury(keeper, site) is not None)
            yield from filled(keeper, site, schema_version)
        yield "the site opens"


def last_word(site: Site) -> datetime:
    """Since when a site has not heard from some peer: the longer, the more it lacks, and the better it is as a test."""
    return min((beat.received_at for beat in look(site).heartbeats), default=datetime.max.replace(tzinfo=UTC))


def is_closed(site: Site) -> bool:
    async def close() -> None:
        async with connect(site.target()) as connection:
            await leave.ensure_closed(connection)

    asyncio.run(close())
    return look(site).closed_lsn is not None


def all_keep_for(keeper: Keeper, number: int) -> bool:
    """Do all members know the new site, and keep their changes for it?"""
    members = [look(site) for site in keeper.place.sites]
    return all(
        number in facts.sites and any(slot.peer_number == number and slot.birth for slot in facts.slots)
        for facts in members
    )


def saved_as(keeper: Keeper, index: int) -> Path:
    return keeper.place.folder / f"saved{index}"


def save_now(keeper: Keeper, site: Site, index: int) -> bool:
    with keeper.place.hands[site.number]:
        if not keeper.place.is_running(site.number):
            return False
        site.server.stop(WITHOUT_PEERS)
        site.server.save("saved").rename(saved_as(keeper, index))
        site.server.start()
    return True


ACTS: dict[str, Callable[[Keeper, int, int], Act]] = {
    "joins": join,
    "leaves": leave_in_order,
    "lost_volumes": lose_volume,
    "rewinds": save,
}
"""What begins with a fault, by kind: with the site's number and the fault's index."""
LAST_ACTS: dict[str, Callable[[Keeper, int, int], Act]] = {"rewinds": put_back}
"""What follows when the fault ends."""
