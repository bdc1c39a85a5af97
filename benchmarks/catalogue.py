"""What is measured, in words: title, unit, which direction is better, and the ratio to native that we promise."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]
NATIVE, PGLOGICAL, OURS = "native", "pglogical", "ours"
COPYING = "pg_basebackup"
SYSTEMS = (NATIVE, PGLOGICAL, OURS)


@dataclass(frozen=True)
class Measure:
    """One figure. `target` is the least (higher is better) or greatest (lower) ratio to the baseline we promise."""

    key: str
    title: str
    unit: str
    better: Better
    target: float | None = None
    baseline: str = NATIVE

    def meets(self, ratio: float) -> bool:
        """Whether the ratio keeps the promise; true if there is none."""
        if self.target is None:
            return True
        return ratio >= self.target if self.better == "higher" else ratio <= self.target


def _throughput(key: str, title: str, target: float | None, wal_target: float | None = None) -> tuple[Measure, ...]:
    return (
        Measure(f"{key}.tps", f"{title}: transactions a second at the origin", "1/s", "higher", target),
        Measure(f"{key}.cpu", f"{title}: server CPU a transaction at the origin", "µs", "lower"),
        Measure(f"{key}.wal", f"{title}: WAL a transaction, without page images", "B", "lower", wal_target),
    )


MEASURES = (
    *_throughput("tpcb1", "TPC-B-like, 1 client", 0.8, 2.2),
    *_throughput("tpcb8", "TPC-B-like, 8 clients", 0.75, 2.2),
    *_throughput("mixed1", "80 % reads, 1 client", 0.93),
    *_throughput("mixed8", "80 % reads, 8 clients", 0.93),
    Measure("rows.cpu", "Transactions of one row: server CPU a transaction at the origin", "µs", "lower"),
    Measure("rows.wal", "Transactions of one row: WAL a transaction, without page images", "B", "lower", 2.2),
    Measure("apply.rate", "Apply: row changes a second at the peer", "1/s", "higher", 0.3),
    Measure("apply.cpu", "Apply: peer's server CPU a row change", "µs", "lower"),
    Measure("apply.wal", "Apply: peer's WAL a row change, without page images", "B", "lower"),
    Measure("latency.p50", "Replication latency, median", "ms", "lower", 1.3),
    Measure("latency.p99", "Replication latency, 99 of 100 are faster", "ms", "lower"),
    Measure("bulk.origin", "One transaction of many rows: time at the origin", "s", "lower"),
    Measure("bulk.peer", "One transaction of many rows: until the peer has it, after its commit", "s", "lower"),
    Measure("bulk.cpu", "One transaction of many rows: server CPU at the origin, a row", "µs", "lower"),
    Measure("bulk.peer_cpu", "One transaction of many rows: server CPU at the peer, a row", "µs", "lower"),
    Measure("copy.rate", "COPY: rows a second at the origin", "1/s", "higher"),
    Measure("copy.peer", "COPY: until the peer has it, after its commit", "s", "lower"),
)

GROWTH = (
    Measure("growth.tps", "Transactions a second at the origin", "1/s", "higher"),
    Measure("growth.cpu", "Server CPU a transaction at the origin", "µs", "lower"),
    Measure("growth.drain", "Until all peers have all, after the load", "s", "lower"),
)
"""Taken at several numbers of sites."""

JOIN = Measure("join.seconds", "Join: until the new site serves and has all", "s", "lower", 1.5, COPYING)
VERIFY = Measure("verify.rate", "Verify: database compared a second, by versions and contents", "MB/s", "higher")
COMPARE = Measure("compare.rate", "Compare after a crash that took nothing: database a second", "MB/s", "higher")
REFETCH = Measure("refetch.rate", "Fetch what a lost slot kept away: rows a second", "1/s", "higher")
"""All are taken at several sizes in gigabytes."""
