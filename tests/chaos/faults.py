"""What befalls a mesh. The state of the world follows from the faults that are active now, so they may overlap freely.

A fault that lasts turns into conditions of lines, servers and clocks for as long as it is active; a fault of a moment
is one act at its beginning. When a history ends no fault is active, so the world is well: that is the final healing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from signal import SIGKILL

import psycopg

from multiserver.replication import links
from tests.chaos.arena import Arena, within
from tests.chaos.clients import Progress
from tests.chaos.engine import ensure_slots, keep_small
from tests.chaos.proxy import Condition
from tests.chaos.scenario import Fault, Scenario, schedule
from tests.chaos.workload import draw_schema_change
from tests.postgres.mesh import Site
from tests.postgres.servers import eventually

REFUSE = """
set event_triggers = off;
alter table public.items add constraint refuses check (id % 3 <> 1 or hashtext(note) % 3 <> 0) not valid;
reset event_triggers
"""
ALLOW = """
set event_triggers = off; alter table public.items drop constraint refuses; reset event_triggers;
update multiserver.parked set next_try = clock_timestamp() where sqlstate is not null
"""
"""What was refused is tried again at once, not only after the time that the engine waits."""

SCHEMA_SITE = 1

SLOT_SECONDS = 10.0
"""How long a peer may keep us from dropping its slot, by connecting to it again and again."""

CLOCK = """
set event_triggers = off; set role multiserver_engine;
create or replace function multiserver.wall_clock() returns bigint language sql volatile
  return (date_part('epoch', clock_timestamp()) * 1000000)::bigint + {microseconds};
reset role; reset event_triggers
"""
"""The one function that versions take the time from, wrong by so much."""


def is_done(site: Site, statement: str) -> bool:
    """Do it, unless it comes into a deadlock with the site's clients and its merging."""
    try:
        site.admin(statement)
    except psycopg.errors.DeadlockDetected:
        return False
    return True


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


def is_refusing(faults: Iterable[Fault], site: int) -> bool:
    return any(fault.kind == "refusals" and fault.sites[0] == site for fault in faults)


def skew_microseconds(faults: Iterable[Fault], site: int) -> int:
    return int(sum(fault.amount for fault in faults if fault.kind == "skews" and fault.sites[0] == site) * 1_000_000)


@dataclass
class World:
    """Breaks and heals an arena while clients work in it."""

    arena: Arena
    scenario: Scenario
    progress: Progress
    befallen: Counter[str] = field(default_factory=Counter)
    """How many faults of each kind were brought about."""
    down: set[int] = field(default_factory=set)
    _refusing: set[int] = field(default_factory=set)
    _skews: dict[int, int] = field(default_factory=dict)

    def run(self) -> None:
        """Bring about all faults of the scenario at their times; the world is well in the end, whatever happens."""
        faults = schedule(self.scenario)
        moments = sorted({moment for fault in faults for moment in (fault.begins, fault.ends)})
        try:
            for moment in moments:
                self.progress.wait_until(moment)
                self.become([fault for fault in faults if fault.begins <= moment < fault.ends])
                for index, fault in enumerate(faults):
                    if fault.begins == moment:
                        self.befallen[fault.kind] += 1
                        self.act(fault, index)
        finally:
            self.become([])

    def become(self, active: Collection[Fault]) -> None:
        """Make the world as it is while these faults are active."""
        for (receiver, sender), line in self.arena.lines.items():
            self.arena.network.become(line, line_condition(active, receiver, sender))
        wanted = servers_down(active)
        self.progress.set_down(wanted | self.down)
        for number in wanted - self.down:
            self.arena.site(number).server.stop(SIGKILL)
        for number in self.down - wanted:
            self.arena.site(number).server.start()
        self.down = wanted
        self.progress.set_down(wanted)
        for site in self.arena.sites:
            if site.number not in wanted:
                self._set_clock(site, skew_microseconds(active, site.number))
                self._set_refusing(site, is_refusing(active, site.number))

    def _set_clock(self, site: Site, microseconds: int) -> None:
        if self._skews.get(site.number, 0) != microseconds:
            site.admin(CLOCK.format(microseconds=microseconds))
            self._skews[site.number] = microseconds

    def _set_refusing(self, site: Site, refuses: bool) -> None:
        if (site.number in self._refusing) != refuses:
            statement = REFUSE if refuses else ALLOW
            eventually(lambda: is_done(site, statement), f"{site.name} begins or ceases to refuse rows")
            self._refusing ^= {site.number}

    def act(self, fault: Fault, index: int) -> None:
        """Do what a fault of a moment does."""
        act = ACTS.get(fault.kind)
        if act is not None:
            act(self, fault, index)


def change_schema(world: World, _: Fault, index: int) -> None:
    """Change the schema at the schema site, as the application; it may be refused, and it does not wait long."""
    site = world.arena.site(SCHEMA_SITE)
    if site.number in world.down:
        return
    with site.server.connect("app", "app") as connection:
        connection.execute("set lock_timeout = '1s'")
        try:
            connection.execute(draw_schema_change(world.scenario.seed, index).encode())
        except psycopg.DatabaseError:  # the engine's own refusals have no class of their own
            return


def collect(world: World, _: Fault, __: int) -> None:
    """Let every site that is up learn how far all are, and forget what nobody can need any more."""
    keep_small([site for site in world.arena.sites if site.number not in world.down])


def lose_slot(world: World, fault: Fault, _: int) -> None:
    """A site loses what it keeps for a peer and makes a new slot; the gap behind it is closed when the history ends."""
    receiver, sender = fault.sites
    misses_schema = sender == SCHEMA_SITE and world.scenario.schema_changes > 0  # cured by nothing but a new copy
    if sender not in world.down and not misses_schema:
        site = world.arena.site(sender)
        within(SLOT_SECONDS, lambda: drop_slot(site, receiver))
        asyncio.run(ensure_slots(world.arena, site))


def drop_slot(site: Site, receiver: int) -> bool:
    """Drop a slot though it is in use, but not its birth: whoever makes it anew must see that."""
    name = [links.link_name(receiver)]
    try:
        site.admin("select pg_terminate_backend(active_pid, 1000) from pg_replication_slots where slot_name = %s", name)
        site.admin("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", name)
    except psycopg.errors.ObjectInUse:
        return False
    return True


ACTS: dict[str, Callable[[World, Fault, int], None]] = {
    "schema_changes": change_schema,
    "lost_slots": lose_slot,
    "collections": collect,
}
"""What faults of a moment do, by kind."""
