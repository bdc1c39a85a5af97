"""Prove that two sites hold the same, or name what differs."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from multiserver.api.report import TableDifference
from multiserver.postgres.connect import Connection
from multiserver.replication.buckets import SITE_BITS, Difference, is_settled, portions
from multiserver.replication.compare import Comparison, Progress, Side, Table, begin, describe, silent

KEYS_NAMED = 5
"""How many keys of a table are named as examples."""
KEYS_LOOKED_AT_AGAIN = 10_000
"""How many differing keys of a table are followed one by one; where more differ, the first speak for all."""
PATIENCE_SECONDS = 60.0
"""How long changes may be under way before a difference counts as not judged."""
LOOK_SECONDS = 0.5
"""The pause between two looks at how far changes have come."""


@dataclass(frozen=True)
class Verified:
    """What a verification has found."""

    tables: int
    """Tables that were compared."""
    differences: tuple[TableDifference, ...]
    """Differences that persisted."""
    unknown: tuple[str, ...]
    """Sentences on what could not be judged, since changes were under way for too long."""

    @property
    def is_equal(self) -> bool:
        """Whether both sites hold the same."""
        return not self.differences and not self.unknown


@dataclass
class _Suspicion:
    """Differing keys of a table at the first look, which changes under way may explain."""

    table: Table
    buckets: dict[int, int]
    """The differing buckets looked at, with their number of keys."""
    found: dict[int, Difference]
    is_exact: bool


async def verify(
    own: Connection, peer: Connection, *, patience_seconds: float = PATIENCE_SECONDS, progress: Progress = silent
) -> Verified:
    """Compare versions and contents of all tables.

    Changes that are under way make keys differ for a moment. So where keys differ, we wait until everything that either
    site had by then has come to the other, and look at these keys again: what still differs is real. Raises
    DatabaseError, or NotComparable.
    """
    comparison = await begin(own, peer, with_content=True)
    suspicions = []
    unsent = [table for table in comparison.tables if comparison.is_unsent(table)]
    for number, table in enumerate(comparison.tables, start=1):
        progress(f"table {number} of {len(comparison.tables)}, {table.name}")
        if table in unsent:
            continue
        if suspicion := await _suspect(comparison, table):
            suspicions.append(suspicion)
    late = await _caught_up(comparison, _authors(suspicions), patience_seconds)
    judged = [await _judge(comparison, suspicion, late) for suspicion in suspicions]
    return Verified(
        tables=len(comparison.tables),
        differences=tuple(difference for difference, _ in judged if difference),
        unknown=(
            *(sentence for _, sentence in judged if sentence),
            *(f"table {table.name} has rows that are not sent yet" for table in unsent),
        ),
    )


def _authors(suspicions: Iterable[_Suspicion]) -> dict[int, int]:
    """Give the sites whose changes may be under way, each with the time of the newest in microseconds."""
    found = [d for suspicion in suspicions for d in suspicion.found.values() if not d.is_damage]
    return {d.author: d.newest >> SITE_BITS.bit_length() for d in sorted(found, key=lambda d: d.newest)}


async def _suspect(comparison: Comparison, table: Table) -> _Suspicion | None:
    """Give the keys of a table that differ at the first look."""
    buckets = await comparison.differing_buckets(table)
    suspicion = _Suspicion(table, {}, {}, is_exact=True)
    for chosen in portions(buckets):
        if len(suspicion.found) >= KEYS_LOOKED_AT_AGAIN:
            suspicion.is_exact = False
            break
        suspicion.found |= await comparison.differences(table, chosen)
        suspicion.buckets |= {bucket: buckets[bucket] for bucket in chosen}
    return suspicion if suspicion.found else None


async def _caught_up(comparison: Comparison, authors: Mapping[int, int], patience_seconds: float) -> frozenset[int]:
    """Wait until both sites know all that either knew of these authors' changes; give the authors that stayed behind.

    A site's changes arrive in their order, and its heartbeats among them. So a site that has heard an author up to some
    heartbeat has all changes before that. What a site knew when it was looked at lies before the next heartbeat that it
    hears; the other must hear that one, too. What it knew from a pull may be newer than all heartbeats it has heard, so
    the time of the newest change, given for each author, must be passed as well. All times are by the author's clock.
    """
    looked = (await describe(comparison.own), await describe(comparison.peer))
    waiting = {author: _Waiting(author, looked, time) for author, time in authors.items()}
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while waiting and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        sides = (await describe(comparison.own), await describe(comparison.peer))
        waiting = {author: each for author, each in waiting.items() if not each.is_over(sides)}
    return frozenset(waiting)


class _Waiting:
    """How far both sites must hear one author."""

    def __init__(self, author: int, looked: tuple[Side, Side], time: int) -> None:
        self._author = author
        self._looked = looked
        self._time = time
        # A site knows its own changes at once; of others' it waits for the next heartbeat.
        self._targets = [side.heard[author] if side.site == author else None for side in looked]

    def is_over(self, sides: tuple[Side, Side]) -> bool:
        """Whether both have heard the author up to what either knew."""
        heard = [side.heard.get(self._author, 0) for side in sides]
        for which, before in enumerate(self._looked):
            if self._targets[which] is None and heard[which] > before.heard.get(self._author, 0):
                self._targets[which] = heard[which]
        return all(target is not None and min(heard) >= max(target, self._time) for target in self._targets)


async def _judge(
    comparison: Comparison, suspicion: _Suspicion, late: frozenset[int]
) -> tuple[TableDifference | None, str]:
    """Look again; give the difference that is real, and a sentence on keys that cannot be judged."""
    table, persisting, unknown = suspicion.table, [], 0
    for chosen in portions(suspicion.buckets):
        now = await comparison.differences(table, chosen)
        # Either site may have collected more meanwhile.
        horizon = max((await describe(comparison.own)).horizon, (await describe(comparison.peer)).horizon)
        for hashed in now.keys() & suspicion.found.keys():
            before = suspicion.found[hashed]
            if is_settled(before, now[hashed]) or now[hashed].is_collected(horizon):
                continue
            if before.author in late and not now[hashed].is_damage:
                unknown += 1
            else:
                persisting.append(now[hashed])
    sentence = f"table {table.name}: changes of {unknown} keys are still under way" if unknown else ""
    if not persisting:
        return None, sentence
    damaged = [difference for difference in persisting if difference.is_damage]
    return (
        TableDifference(
            table=table.name,
            rows=len(persisting),
            damaged=len(damaged),
            examples=tuple(sorted(difference.key for difference in persisting)[:KEYS_NAMED]),
            is_exact=suspicion.is_exact,
        ),
        sentence,
    )
