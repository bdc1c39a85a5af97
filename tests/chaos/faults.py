"""What befalls a mesh. The state of the world follows from the faults that are active now, so they may overlap freely.

A fault that lasts turns into conditions of lines, servers and clocks for as long as it is active; a fault of a moment
is one act at its beginning. When a history ends no fault is active, so the world is well: that is the final healing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from signal import SIGKILL

import psycopg

from tests.chaos.arena import Arena, within
from tests.chaos.circumstances import Circumstances
from tests.chaos.clients import Crew
from tests.chaos.engine import ensure_slots, keep_small
from tests.chaos.keeper import Act, Keeper
from tests.chaos.membership import ACTS, LAST_ACTS
from tests.chaos.proxy import Condition
from tests.chaos.scenario import SCHEMA_SITE, Fault, Scenario, schedule
from tests.chaos.workload import draw_schema_change
from tests.postgres.mesh import Site

SLOT_SECONDS = 10.0
"""How long a peer may keep us from dropping its slot, by connecting to it again and again."""


def line_condition(faults: Iterable[Fault], receiver: int, sender: int) -> Condition:
    """Return how a line is while these faults are active."""
    on_it = [fault for fault in faults if concerns(fault, receiver, sender)]
    return Condition(
        is_cut=any(fault.kind in ("cuts", "partings", "isolations") for fault in on_it),
        is_silent=any(fault.kind == "hangs" for fault in on_it),
        delay_seconds=max((fault.amount for fault in on_it if fault.kind == "slow_links"), default=0.0),
    )


def concerns(fault: Fault, receiver: int, sender: int) -> bool:
    """Does the fault lie on this line?"""
    match fault.kind:
        case "cuts" | "hangs" | "slow_links":
            return fault.sites == (receiver, sender)
        case "partings":
            return set(fault.sites) == {receiver, sender}
        case "isolations":
            return fault.sites[0] in (receiver, sender)
    return False


def servers_down(faults: Iterable[Fault]) -> set[int]:
    return {fault.sites[0] for fault in faults if fault.kind == "kills"}


@dataclass
class World:
    """Breaks and heals an arena while clients work in it."""

    arena: Arena
    scenario: Scenario
    crew: Crew = field(init=False)
    keeper: Keeper = field(init=False)
    circumstances: Circumstances = field(default_factory=Circumstances)
    befallen: Counter[str] = field(default_factory=Counter)
    """How many faults of each kind were brought about."""
    _killed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.crew = Crew(self.scenario)
        self.keeper = Keeper(self.arena, self.crew, self.circumstances)

    def run(self) -> None:
        """Bring about all faults of the scenario at their times; the world is well in the end, whatever happens."""
        faults = schedule(self.scenario)
        moments = sorted({moment for fault in faults for moment in (fault.begins, fault.ends)})
        try:
            for moment in moments:
                self.crew.progress.wait_until(moment)
                self.become([fault for fault in faults if fault.begins <= moment < fault.ends])
                for index, fault in enumerate(faults):
                    if fault.begins == moment:
                        self.befallen[fault.kind] += 1
                        self.act(fault, index)
                    if fault.ends == moment:
                        self.befall(LAST_ACTS, fault, index)
        finally:
            self.become([])

    def become(self, active: Collection[Fault]) -> None:
        """Make the world as it is while these faults are active."""
        for (receiver, sender), line in self.arena.lines.items():
            self.arena.network.become(line, line_condition(active, receiver, sender))
        wanted = servers_down(active)
        self.crew.progress.set_down(wanted | self._killed)
        for number in wanted:
            with self.treating(number) as site:
                if site is not None:
                    site.server.stop(SIGKILL)
                    self._killed.add(number)
        for number in self._killed - wanted:
            with self.arena.hands[number]:
                self.arena.site(number).server.start()
        self._killed &= wanted
        self.crew.progress.set_down(wanted)
        self.circumstances.active = active
        for member in self.arena.sites:
            with self.treating(member.number) as site:
                if site is not None:
                    self.circumstances.apply(site)

    @contextmanager
    def treating(self, number: int) -> Iterator[Site | None]:
        """Have a site in hand; None if there is no such member, or if it is down."""
        with self.arena.hands[number]:
            yield self.arena.site(number) if self.arena.is_running(number) else None

    def act(self, fault: Fault, index: int) -> None:
        """Do what a fault of a moment does."""
        act = MOMENTS.get(fault.kind)
        if act is not None:
            act(self, fault, index)
        self.befall(ACTS, fault, index)

    def befall(self, acts: Mapping[str, Callable[[Keeper, int, int], Act]], fault: Fault, index: int) -> None:
        """Have the keeper change the membership."""
        act = acts.get(fault.kind)
        if act is not None:
            number = fault.sites[0]
            self.keeper.wish(f"{act.__name__} of site {number}", act(self.keeper, number, index))


def change_schema(world: World, _: Fault, index: int) -> None:
    """Change the schema at the schema site, as the application; it may be refused, and it does not wait long."""
    with world.treating(SCHEMA_SITE) as site:
        if site is None or world.crew.progress.is_paused(SCHEMA_SITE):
            return
        with site.server.connect("app", "app") as connection:
            connection.execute("set lock_timeout = '1s'")
            try:
                connection.execute(draw_schema_change(world.scenario.seed, index).encode())
            except psycopg.DatabaseError:  # the engine's own refusals have no class of their own
                return


def collect(world: World, _: Fault, __: int) -> None:
    """Let every site that is up learn how far all are, and forget what nobody can need any more."""
    with ExitStack() as stack:
        members = [stack.enter_context(world.treating(number)) for number in sorted(world.arena.hands)]
        keep_small([site for site in members if site is not None])


def lose_slot(world: World, fault: Fault, _: int) -> None:
    """A site loses what it keeps for a peer and makes a new slot; the gap behind it is closed when the history ends."""
    receiver, sender = fault.sites
    misses_schema = sender == SCHEMA_SITE and world.scenario.schema_changes > 0  # cured by nothing but a new copy
    with world.treating(sender) as site:
        if site is None or receiver not in world.arena.names or misses_schema:
            return
        if site.admin("select 1 from multiserver.site_settings"):  # without a number yet it keeps nothing for anybody
            within(SLOT_SECONDS, lambda: drop_slot(site, receiver))
            asyncio.run(ensure_slots(world.arena, site))


def drop_slot(site: Site, receiver: int) -> bool:
    """Drop a slot though it is in use, but not its birth: whoever makes it anew must see that."""
    of_receiver = "from multiserver.peer_slots join pg_replication_slots using (slot_name) where peer_number = %s"
    try:
        site.admin(f"select pg_terminate_backend(active_pid, 1000) {of_receiver}", [receiver])
        site.admin(f"select pg_drop_replication_slot(slot_name) {of_receiver}", [receiver])
    except psycopg.errors.ObjectInUse:
        return False
    return True


MOMENTS: dict[str, Callable[[World, Fault, int], None]] = {
    "schema_changes": change_schema,
    "lost_slots": lose_slot,
    "collections": collect,
}
"""What faults of a moment do, by kind."""
