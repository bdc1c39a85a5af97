"""How a mesh bears more sites: one site's load, taken by all others."""

from collections.abc import Sequence

from benchmarks.catalogue import NATIVE, OURS
from benchmarks.lab import Lab
from benchmarks.measures import MICROSECONDS, Effort
from benchmarks.meters import metered
from benchmarks.results import Results, Sample
from benchmarks.systems import KINDS, System, running
from benchmarks.workload import TABLES, TPCB, fill, pgbench
from hack.common.progress import say

CLIENTS = 8


def measure_growth(lab: Lab, sizes: Sequence[int], effort: Effort, results: Results) -> None:
    """Build native and our mesh of each size, one after the other, and put the load on its first site."""
    for size in sizes:
        for kind in KINDS:
            if kind.name in (NATIVE, OURS):
                with running(lab, kind, size, TABLES) as system, system.at_work():
                    _measure(system, effort, results, size)


def _measure(system: System, effort: Effort, results: Results, size: int) -> None:
    fill(system, effort.size)
    with metered(system.origin.server) as consumed:
        load = pgbench(system, TPCB, effort.size, CLIENTS, "-T", str(effort.seconds))
    figures = {
        "growth.tps": load.transactions_a_second,
        "growth.cpu": consumed.cpu_seconds / load.transactions * MICROSECONDS,
        "growth.drain": system.drain(),
    }
    results.samples += [Sample(key, system.name, 1, value, size) for key, value in figures.items()]
    say(f"{size} sites {system.name:10} " + ", ".join(f"{key} {value:,.4g}" for key, value in figures.items()))
