"""The command line: `run` measures, `report` writes the page and the plot of what was measured."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.growth import measure_growth
from benchmarks.join import measure_joins
from benchmarks.lab import Lab, lab
from benchmarks.machine import machine
from benchmarks.measures import MEASUREMENTS, QUICK, TINY, Effort
from benchmarks.report import render
from benchmarks.results import Results
from benchmarks.rootfs import with_pglogical
from benchmarks.rounds import Deadline, run_rounds
from benchmarks.systems import KINDS, Pglogical, System, running
from benchmarks.workload import TABLES, fill
from hack.common.cli import ToolGroup
from hack.common.progress import say, step
from multiserver.replication.install import engine_version
from tests.rootfs import ensure

OUT = Path("build/benchmarks/results.json")
EFFORTS = {"whole": Effort(), "quick": QUICK, "tiny": TINY}
GROWTH_MINUTES = 0.6
"""What one site of a mesh takes of the time limit, roughly, for building and measuring both systems."""
JOIN_MINUTES = 0.7
"""What one gigabyte of a join takes of it, with filling and comparing."""


@click.group(cls=ToolGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure what replication costs, side by side with native logical replication and pglogical."""


@main.command()
@click.option(
    "--effort",
    type=click.Choice(list(EFFORTS)),
    default="whole",
    show_default=True,
    help="`quick` is to try it, two minutes; `tiny` only shows that it runs.",
)
@click.option("--minutes", default=20.0, show_default=True, help="Begin nothing that would take longer than this.")
@click.option("--rounds", default=7, show_default=True, help="At most so many rounds.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Only these measurements.")
@click.option(
    "--system", "names", multiple=True, type=click.Choice([kind.name for kind in KINDS]), help="Only these systems."
)
@click.option("--sites", multiple=True, type=int, help="Measure the growth with so many sites too (may be repeated).")
@click.option(
    "--join",
    "gigabytes",
    multiple=True,
    type=int,
    help="Let a site join one of so many gigabytes, and compare both (may be repeated).",
)
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def run(
    effort: str, minutes: float, rounds: int, only: tuple[str, ...], names: tuple[str, ...], sites: tuple[int, ...],
    gigabytes: tuple[int, ...], out: Path,
) -> None:  # fmt: skip
    """Measure, and write all figures as JSON."""
    kinds = [kind for kind in KINDS if not names or kind.name in names]
    programs, without_pglogical = with_pglogical() if Pglogical in kinds else (ensure(), "it was not asked for")
    if without_pglogical and Pglogical in kinds:
        say(f"pglogical is left out: {without_pglogical}")
        kinds.remove(Pglogical)
    results = Results(machine() | {"effort": effort, "without_pglogical": without_pglogical})
    with lab(programs) as place:
        afterwards = GROWTH_MINUTES * sum(sites) + JOIN_MINUTES * sum(gigabytes)
        _side_by_side(place, kinds, EFFORTS[effort], results, Deadline((minutes - afterwards) * 60), rounds, only)
        results.write(out)
        measure_growth(place, sites, EFFORTS[effort], results)
        results.write(out)
        measure_joins(place, gigabytes, results)
    results.write(out)
    say(f"all figures: {out}")


def _side_by_side(
    place: Lab, kinds: list[type[System]], effort: Effort, results: Results, deadline: Deadline, rounds: int,
    only: tuple[str, ...],
) -> None:  # fmt: skip
    with ExitStack() as stack:
        with step("start all systems and fill their tables"):
            systems = [stack.enter_context(running(place, kind, 2, TABLES)) for kind in kinds]
            for system in systems:
                with system.at_work():
                    fill(system, effort.size)
        results.circumstances |= versions(systems)
        results.circumstances["rounds"] = run_rounds(systems, effort, results, deadline, rounds, only)


def versions(systems: list[System]) -> dict[str, Any]:
    """Say what was measured."""
    server = systems[0].origin.server
    of_pglogical = "select extversion from pg_extension where extname = 'pglogical'"
    found = [system.origin.admin(of_pglogical)[0] for system in systems if isinstance(system, Pglogical)]
    return {
        "postgresql": server.sql("select current_setting('server_version')", database="postgres")[0],
        "engine": engine_version(),
        "pglogical": found[0] if found else None,
    }


@main.command()
@click.option("--results", "source", type=click.Path(path_type=Path, exists=True), default=OUT, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("docs"),
    show_default=True,
    help="Where performance.md and performance.svg go.",
)
def report(source: Path, folder: Path) -> None:  # fmt: skip
    """Write the page and the plot."""
    from benchmarks.plot import draw  # only this command needs the dependency group `bench`

    results = Results.read(source)
    draw(results, folder / "performance.svg")
    (folder / "performance.md").write_text(render(results))
    say(f"{folder}/performance.md and performance.svg are written from {source}")
