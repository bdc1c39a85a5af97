"""Meters: CPU time of a whole server, WAL between two moments. They disturb nothing that they measure."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres.servers import Server

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
DATABASE = "postgres"


def cpu_seconds(server: Server) -> float:
    """Return the CPU time of a server since its start: the postmaster, its children, and those that have ended."""
    assert server.process is not None
    postmaster = server.process.pid
    total = sum(_times(postmaster))
    for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        try:
            total += sum(_times(int(child))[:2])
        except FileNotFoundError:
            continue  # it has ended meanwhile; the postmaster counts it from now on
    return total / TICKS_PER_SECOND


def _times(process: int) -> list[int]:
    """Return utime, stime, cutime and cstime in clock ticks; see proc(5)."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return [int(ticks) for ticks in after_name[11:15]]


def position(server: Server) -> str:
    """Return the end of the write-ahead log."""
    return str(server.sql("select pg_current_wal_insert_lsn()::text", database=DATABASE)[0])


def wal_bytes(server: Server, start: str, end: str) -> int:
    """Return the bytes of WAL records between two positions, without page images.

    An image of a whole page is written at its first change after a checkpoint. How many fall into a measurement depends
    on when the checkpoint was, not on the system under test.
    """
    all_is_flushed(server)
    query = "select coalesce(sum(record_size), 0)::bigint from pg_get_wal_stats(%s::pg_lsn, %s::pg_lsn, true)"
    return int(server.sql(query, [start, end], database=DATABASE)[0]) if start != end else 0


def all_is_flushed(server: Server) -> None:
    """Make all that was written so far readable by pg_walinspect, which is in the database `postgres` from now on."""
    server.sql("create extension if not exists pg_walinspect", database=DATABASE)
    server.sql("select pg_logical_emit_message(false, 'bench', 'all before is flushed', true)", database=DATABASE)


@dataclass
class Consumed:
    """What a server consumed between two moments; zero until the second one."""

    cpu_seconds: float = 0.0
    wal_bytes: int = 0


@contextmanager
def metered(server: Server) -> Iterator[Consumed]:
    """Tell what a server consumes while the block runs."""
    consumed = Consumed()
    begun, start = cpu_seconds(server), position(server)
    yield consumed
    consumed.cpu_seconds, end = cpu_seconds(server) - begun, position(server)
    consumed.wal_bytes = wal_bytes(server, start, end)
