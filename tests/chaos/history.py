"""One history from its beginning to its judgement."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.arena import Arena, Replication, arena
from tests.chaos.checks import ALL, Check, Finding, findings
from tests.chaos.engine import Engine
from tests.chaos.facts import Outcome
from tests.chaos.faults import World
from tests.chaos.keeper import Keeper
from tests.chaos.scenario import MEMBERSHIP, Scenario
from tests.chaos.workload import TABLES
from tests.rootfs import Rootfs


@dataclass(frozen=True)
class Verdict:
    """How a history ended."""

    scenario: Scenario
    findings: Sequence[Finding]
    transactions: Counter[str]
    """acknowledged, refused and unknown ones."""
    faults: Counter[str]
    seconds: float

    def __str__(self) -> str:
        """Return the story, with the command to see it again."""
        if not self.findings:
            return f"seed {self.scenario.seed}: well"
        found = "\n  ".join(str(finding) for finding in self.findings[:12])
        return (
            f"seed {self.scenario.seed}: {len(self.findings)} findings\n  {found}\n"
            f"again: .venv/bin/python -m tests.chaos.soak --scenario '{self.scenario}'\n"
            f"smaller: .venv/bin/python -m tests.chaos.soak --shrink --scenario '{self.scenario}'"
        )


def nothing(_: Arena) -> None:
    """Leave the engine as it is."""


@dataclass(frozen=True)
class Stage:
    """What histories need: servers to copy, a replication to judge, and perhaps a sabotage that should be found."""

    rootfs: Rootfs
    template: Path
    folder: Path
    replication: Replication = field(default_factory=Engine)
    checks: Sequence[Check] = ALL
    sabotage: Callable[[Arena], None] = nothing

    def sabotaged(self, sabotage: Callable[[Arena], None]) -> "Stage":
        return replace(self, sabotage=sabotage)

    def run(self, scenario: Scenario) -> Verdict:
        """Run a history and judge it."""
        started = time.monotonic()
        with TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            folder.chmod(0o755)
            with arena(self.rootfs, self.template, folder, scenario.sites, scenario.joins) as place:
                self.replication.build(place, TABLES)
                self.sabotage(place)
                world = live(place, scenario)
                outcome = self.observe(place, world)
        transactions: Counter[str] = Counter()
        for ledger in outcome.ledgers:
            transactions.update(acknowledged=ledger.acknowledged, refused=ledger.refused, unknown=ledger.unknown)
        seconds = time.monotonic() - started
        return Verdict(scenario, findings(outcome, self.checks), transactions, world.befallen, seconds)

    def observe(self, place: Arena, world: World) -> Outcome:
        """Wait until all has come everywhere, then read everything."""
        undrained = self.replication.drain(place)
        clients = world.crew.clients
        return Outcome(
            self.replication.read(place),
            [client.ledger for client in clients],
            [*world.keeper.undone, *undrained],
            [f"a client at site {client.ledger.site} met {client.error!r}" for client in clients if client.error],
            place.past,
        )


def live(place: Arena, scenario: Scenario) -> World:
    """Let all clients do what they want, and everything befall them that the scenario has."""
    world = World(place, scenario)
    with kept(world.keeper, any(scenario.count(kind) for kind in MEMBERSHIP)):
        world.crew.begin_at(*place.sites)
        world.run()
    world.crew.join()
    return world


@contextmanager
def kept(keeper: Keeper, is_needed: bool) -> Iterator[None]:
    """Have a mesh kept in order meanwhile; other histories show that the engine itself needs nobody for that."""
    if not is_needed:
        yield
        return
    keeper.start()
    try:
        yield
        keeper.finish()
    finally:
        keeper.stop()
