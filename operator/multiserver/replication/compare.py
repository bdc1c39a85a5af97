"""Compare two sites: what pulling (pull.py) and verifying (verify.py) have in common.

Both work while everybody writes. Nothing is stored about how far they are: a run that was killed is simply begun again,
finds less to do, and does no harm, since merging an event twice changes nothing. What travels is in bounded portions,
so neither a slow line nor a large table makes a long transaction at either side.

`own` is a superuser's connection to the own database, `peer` one as multiserver_peer to the peer's.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from multiserver.postgres.connect import Connection
from multiserver.postgres.errors import StatementFailed
from multiserver.replication.buckets import Checksum, Difference, State, bucket_count, differences, differing_buckets

SCAN_SECONDS = 3600.0
"""How long one pass over a table may take; connections for comparing are made with this deadline."""
OTHER_SCHEMA = ("MS001", "MS040")


class NotComparable(Exception):
    """The sites cannot be compared now; the text says why. Trying again later is the way out."""


T = TypeVar("T")
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table as one site describes it."""

    table_id: int
    name: str
    rows: int
    """About so many."""
    unsent: bool
    """Whether it has rows from before it was replicated, which the next heartbeat sends."""


@dataclass(frozen=True)
class Side:
    """What a comparison begins with, of one site."""

    site: int
    schema: int
    horizon: int
    heard: Mapping[int, int]
    """For each site the time by its own clock, in microseconds, up to which its changes are known here."""
    tables: Mapping[int, Table]
    births: Mapping[int, str]
    """By peer: the birth of the site's slot for it."""
    fetched: Mapping[int, str | None]
    """By peer: the birth of the peer's slot up to which the site has everything; not there while that is in doubt."""

    def is_complete_with(self, sender: "Side") -> bool:
        """Whether the site knows that it has everything of another up to the stream; its agent sees to that."""
        birth = sender.births.get(self.site)
        return birth is not None and self.fetched.get(sender.site) == birth


@dataclass(frozen=True)
class Comparison:
    """Two sites of one schema version, and how their tables are to be read."""

    own: Connection
    peer: Connection
    own_side: Side
    peer_side: Side
    with_content: bool

    @property
    def horizon(self) -> int:
        """Up to here versions do not count, since a site may have forgotten them."""
        return max(self.own_side.horizon, self.peer_side.horizon)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables in order; of equal schema versions, so both sites have them."""
        return tuple(self.own_side.tables.values())

    def buckets(self, table: Table) -> int:
        """Give the number of buckets for a table."""
        return bucket_count(max(table.rows, self.peer_side.tables[table.table_id].rows))

    def is_unsent(self, table: Table) -> bool:
        """Whether a site has rows of the table that it has not sent yet."""
        return table.unsent or self.peer_side.tables[table.table_id].unsent

    async def differing_buckets(self, table: Table) -> dict[int, int]:
        """Give the buckets that differ with their number of keys, after one pass over the table at both sites."""
        query = "select * from multiserver.checksums(%s, %s, %s, %s, %s)"
        own, peer = await self._both(query, self._parameters(table))
        return differing_buckets(_checksums(own), _checksums(peer))

    async def differences(self, table: Table, chosen: list[int]) -> dict[int, Difference]:
        """Give the keys in these buckets that differ."""
        query = "select * from multiserver.states(%s, %s, %s, %s, %s, %s)"
        own, peer = await self._both(query, [*self._parameters(table), chosen])
        return differences(_states(own), _states(peer))

    def _parameters(self, table: Table) -> list[Any]:
        return [table.table_id, self.own_side.schema, self.horizon, self.buckets(table), self.with_content]

    async def _both(self, query: str, parameters: list[Any]) -> tuple[list[Row], list[Row]]:
        try:
            # A group, so that neither side goes on alone if the other fails.
            async with asyncio.TaskGroup() as group:
                own = group.create_task(self.own.tuples(query, parameters))
                peer = group.create_task(self.peer.tuples(query, parameters))
        except ExceptionGroup as failures:
            raise comparable(failures.exceptions[0]) from failures
        return own.result(), peer.result()


def comparable(error: Exception) -> Exception:
    """Tell a change of the schema under way from a fault."""
    if isinstance(error, StatementFailed) and error.sqlstate in OTHER_SCHEMA:
        return NotComparable(str(error))
    return error


def _checksums(rows: list[Row]) -> dict[int, Checksum]:
    return {row[0]: Checksum(*row[1:]) for row in rows}


def _states(rows: list[Row]) -> dict[int, State]:
    return {row[0]: State(*row[1:]) for row in rows}


async def describe(connection: Connection) -> Side:
    """Ask a site for what a comparison begins with. Raises DatabaseError."""
    told = await connection.value("select multiserver.comparable()")
    tables = (Table(t["id"], t["name"], t["rows"], t["unsent"]) for t in told["tables"])
    return Side(
        site=told["site"],
        schema=told["schema"],
        horizon=told["horizon"],
        heard=by_site(told["heard"]),
        tables={table.table_id: table for table in tables},
        births=by_site(told["births"]),
        fetched=by_site(told["fetched"]),
    )


def by_site(told: dict[str, T]) -> dict[int, T]:
    """Give an object whose keys are server numbers."""
    return {int(site): value for site, value in told.items()}


async def begin(own: Connection, peer: Connection, *, with_content: bool) -> Comparison:
    """Make the comparison of two sites. Raises DatabaseError, or NotComparable while their schema versions differ."""
    own_side, peer_side = await describe(own), await describe(peer)
    if (own_side.schema, own_side.tables.keys()) != (peer_side.schema, peer_side.tables.keys()):
        raise NotComparable(
            f"the sites have the schema versions {own_side.schema} and {peer_side.schema}: "
            "waiting until both have the same"
        )
    return Comparison(own, peer, own_side, peer_side, with_content)


Progress = Callable[[str], None]


def silent(_words: str) -> None:
    """Take no note of progress."""
