"""The measurements: each takes one system for one round and gives figures by the keys of the catalogue."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from statistics import median, quantiles

import psycopg

from benchmarks.meters import cpu_seconds, metered
from benchmarks.records import bytes_by_purpose
from benchmarks.systems import System
from benchmarks.workload import MIXED, TPCB, WRITES, Size, copy_in, insert_many, pgbench
from tests.postgres.mesh import DATABASE, OWNER

Figures = dict[str, float]
MICROSECONDS, MILLISECONDS = 1e6, 1e3


WHOLE = Size()


@dataclass(frozen=True)
class Effort:
    """How long and how much to measure in one round."""

    size: Size = WHOLE
    seconds: int = 10
    """Of each throughput run."""
    applied_rows: int = 60_000
    latencies: int = 1000
    bulk_rows: int = 300_000


QUICK = Effort(Size(20_000, 200, 20), seconds=2, applied_rows=4000, latencies=150, bulk_rows=20_000)
TINY = Effort(Size(200, 20, 10), seconds=1, applied_rows=100, latencies=10, bulk_rows=500)

_first_free = count(1)
"""Blocks of ten million keys of `records`, each used once."""


def throughput(key: str, scripts: tuple[str, ...], clients: int) -> Callable[[System, Effort], Figures]:
    """Make the measurement of the origin under load; the peer takes the changes meanwhile, as it does in life."""

    def measure(system: System, effort: Effort) -> Figures:
        pgbench(system, scripts, effort.size, clients, "-t", "50")  # every session starts cold; so do plans
        with metered(system.origin.server) as consumed:
            load = pgbench(system, scripts, effort.size, clients, "-T", str(effort.seconds))
        system.drain()
        return {
            f"{key}.tps": load.transactions_a_second,
            f"{key}.cpu": consumed.cpu_seconds / load.transactions * MICROSECONDS,
            f"{key}.wal": consumed.wal_bytes / load.transactions,
        }

    return measure


def apply(system: System, effort: Effort) -> Figures:
    """Let a backlog of transactions of one row grow while the peer takes nothing, then time how it takes them."""
    peer, clients = system.peers[0], 4
    system.pause(peer, system.origin)
    with metered(system.origin.server) as captured:
        load = pgbench(system, WRITES, effort.size, clients, "-t", str(effort.applied_rows // clients))
    with metered(peer.server) as consumed:
        begun = time.monotonic()
        system.resume(peer, system.origin)
        system.drain()
        seconds = time.monotonic() - begun
    return {
        "rows.cpu": captured.cpu_seconds / load.transactions * MICROSECONDS,
        "rows.wal": captured.wal_bytes / load.transactions,
        "apply.rate": load.transactions / seconds,
        "apply.cpu": consumed.cpu_seconds / load.transactions * MICROSECONDS,
        "apply.wal": consumed.wal_bytes / load.transactions,
    }


def records(system: System, effort: Effort) -> Figures:
    """Tell what the WAL of a transaction consists of; a sample is enough, since transactions are alike."""
    found = bytes_by_purpose(system, effort.size, effort.applied_rows // 4)
    system.drain()
    return {f"records.{key}": value for key, value in found.items()}


def latency(system: System, effort: Effort) -> Figures:
    """Write a row at the origin and ask the peer for it without pause until it is there; one after the other."""
    times = sorted(_latencies(system, effort.latencies))
    return {
        "latency.p50": median(times) * MILLISECONDS,
        "latency.p99": quantiles(times, n=100)[98] * MILLISECONDS,
    }


def _latencies(system: System, wanted: int) -> Iterator[float]:
    """Yield seconds from the commit's answer at the origin until the row is seen at the peer."""
    asked = system.peers[0].server.connection(DATABASE, OWNER)
    for _ in range(wanted):
        number = system.mark()
        begun = time.monotonic()
        while not _seen(asked, number):
            pass
        yield time.monotonic() - begun
        time.sleep(0.002)  # the next change meets a walsender at rest, not one that is still busy with this one


def _seen(connection: "psycopg.Connection[object]", number: int) -> bool:
    return connection.execute("select 1 from marks where id = %s", [number]).fetchone() is not None


def bulk(system: System, effort: Effort) -> Figures:
    """Insert very many rows by one statement."""
    origin, peer = system.origin.server, system.peers[0].server
    cpu_origin, cpu_peer, begun = cpu_seconds(origin), cpu_seconds(peer), time.monotonic()
    insert_many(system, effort.bulk_rows, _next_block())
    at_origin = time.monotonic() - begun
    after = system.drain()
    return {
        "bulk.origin": at_origin,
        "bulk.peer": after,
        "bulk.cpu": (cpu_seconds(origin) - cpu_origin) / effort.bulk_rows * MICROSECONDS,
        "bulk.peer_cpu": (cpu_seconds(peer) - cpu_peer) / effort.bulk_rows * MICROSECONDS,
    }


def copy(system: System, effort: Effort) -> Figures:
    """Load as many rows by COPY."""
    begun = time.monotonic()
    copy_in(system, effort.bulk_rows, _next_block())
    rate = effort.bulk_rows / (time.monotonic() - begun)
    return {"copy.rate": rate, "copy.peer": system.drain()}


def _next_block() -> int:
    return next(_first_free) * 10_000_000


MEASUREMENTS: dict[str, Callable[[System, Effort], Figures]] = {
    "tpcb1": throughput("tpcb1", TPCB, 1),
    "tpcb8": throughput("tpcb8", TPCB, 8),
    "mixed1": throughput("mixed1", MIXED, 1),
    "mixed8": throughput("mixed8", MIXED, 8),
    "apply": apply,
    "records": records,
    "latency": latency,
    "bulk": bulk,
    "copy": copy,
}
