"""Pull what a peer has and the own site lacks, as row events with their original versions, and merge it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from multiserver.postgres.connect import Connection
from multiserver.postgres.errors import StatementFailed
from multiserver.replication.buckets import Difference, lacking, portions
from multiserver.replication.compare import (
    OTHER_SCHEMA,
    Comparison,
    Progress,
    Row,
    Table,
    begin,
    comparable,
    silent,
)

ROWS_AT_ONCE = 2000
"""Rows of one transaction at the own side."""
BYTES_AT_ONCE = 1 << 20
"""Text of rows in one answer of the peer, unless a single row is larger."""
MERGE_ATTEMPTS = 20
MERGE_AGAIN = ("40001", "40P01")
"""A local writer met us in the opposite order (deadlock) or was faster: the batch is merged again."""

ALTERED_BY_HAND = "MS013"
"""A table at the peer has other columns than its rows should come with (sql/25_altered_by_hand.sql)."""

MERGING = (
    "select set_config('session_replication_role', 'replica', true), set_config('deadlock_timeout', '50ms', true),"
    " set_config('synchronous_commit', 'off', true)"
)
"""As an apply worker: triggers of the application and capture stay silent, and in a deadlock we give way."""
EVENTS = """
select count(*), max(position), array_agg(version)::text, array_agg(base)::text, array_agg(layout)::text,
  array_agg(kind)::text, array_agg(image)::text
from multiserver.events_of(%s, %s, %s, %s)
"""
MERGE = 'select multiserver.merge_pulled(%s, %s::bigint[], %s::bigint[], %s::bigint[], %s::"char"[], %s::text[])'


@dataclass(frozen=True)
class Pulled:
    """What a pull has done."""

    rows: int
    """Rows and deletions that the own site lacked and now has."""


async def pull(own: Connection, peer: Connection, progress: Progress = silent) -> Pulled:
    """Merge at the own site all that the peer has and the own site lacks.

    When it returns, the own site has every change that the peer had when it was called, or a later one of the same key.
    Raises DatabaseError, or NotComparable; what was merged until then stays. A table that somebody has altered at the
    peer holds up no other: it is told when all others are merged.
    """
    comparison = await begin(own, peer, with_content=False)
    rows = 0
    altered: StatementFailed | None = None
    for number, table in enumerate(comparison.tables, start=1):
        progress(f"table {number} of {len(comparison.tables)}, {table.name}: comparing; {rows} rows pulled")
        for chosen in portions(await comparison.differing_buckets(table)):
            lacks = lacking((await comparison.differences(table, chosen)).values())
            try:
                async for batch in _merged(comparison, table, lacks):
                    rows += batch.rows
                    progress(f"table {number} of {len(comparison.tables)}, {table.name}: {rows} rows pulled")
            except StatementFailed as error:
                if error.sqlstate != ALTERED_BY_HAND:
                    raise
                altered = error
    if altered:
        raise altered
    return Pulled(rows)


@dataclass(frozen=True)
class _Batch:
    """Row events as the peer gave them: arrays in PostgreSQL's text form, which nobody reads on the way."""

    rows: int
    until: int
    """Position of the last one among the keys that were asked for; 0 if there is none."""
    arrays: Row


async def _merged(comparison: Comparison, table: Table, lacks: list[Difference]) -> AsyncIterator[_Batch]:
    """Fetch and merge the rows of some keys: while the own side merges, the peer already gives the next."""
    batches = _fetch(comparison, table, lacks)
    upcoming = asyncio.ensure_future(anext(batches, None))
    try:
        while batch := await upcoming:
            upcoming = asyncio.ensure_future(anext(batches, None))
            await _merge(comparison.own, table, batch)
            yield batch
    except StatementFailed as error:
        raise comparable(error) from error
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


async def _fetch(comparison: Comparison, table: Table, lacks: list[Difference]) -> AsyncIterator[_Batch]:
    """Fetch the rows of some keys, as many in one answer as fit."""
    while lacks:
        keys = [difference.peer_key for difference in lacks[:ROWS_AT_ONCE]]
        parameters = [table.table_id, comparison.own_side.schema, keys, BYTES_AT_ONCE]
        [(rows, until, *arrays)] = await comparison.peer.tuples(EVENTS, parameters)
        lacks = lacks[until or len(keys) :]
        if rows:
            yield _Batch(rows, until, tuple(arrays))


async def _merge(own: Connection, table: Table, batch: _Batch) -> None:
    """Merge rows in one short transaction; again, if a local writer was in the way, or carefully, if a row is refused.

    Being careful parks what this site refuses (sql/10_parked_rows.sql), so that one row holds up no other.
    """
    is_careful = False
    for attempt in range(1, MERGE_ATTEMPTS + 1):
        try:
            async with own.transaction():
                await own.execute(MERGING)
                await own.execute(MERGE, [table.table_id, *batch.arrays])
        except StatementFailed as error:
            in_the_way = error.sqlstate in MERGE_AGAIN
            if error.sqlstate in OTHER_SCHEMA or attempt == MERGE_ATTEMPTS or (is_careful and not in_the_way):
                raise
            if not in_the_way:
                is_careful = True
                await own.execute("select multiserver.stay_careful()")
        else:
            return
