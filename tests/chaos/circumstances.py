"""What is wrong with sites themselves while faults are active: their clocks, and the rows that they refuse."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import psycopg

from tests.chaos.scenario import Fault
from tests.postgres.mesh import Site
from tests.postgres.servers import eventually

REFUSE = """
set event_triggers = off;
alter table public.items add constraint refuses check (id % 3 <> 1 or hashtext(note) % 3 <> 0) not valid;
reset event_triggers
"""
ALLOW = """
set event_triggers = off; alter table public.items drop constraint if exists refuses; reset event_triggers;
update multiserver.parked set next_try = clock_timestamp() where sqlstate is not null
"""
"""What was refused is tried again at once, not only after the time that the engine waits."""

CLOCK = """
set event_triggers = off; set role multiserver_engine;
create or replace function multiserver.wall_clock() returns bigint language sql volatile
  return (date_part('epoch', clock_timestamp()) * 1000000)::bigint + {microseconds};
reset role; reset event_triggers
"""
"""The one function that versions take the time from, wrong by so much."""


def is_refusing(faults: Iterable[Fault], site: int) -> bool:
    return any(fault.kind == "refusals" and fault.sites[0] == site for fault in faults)


def skew_microseconds(faults: Iterable[Fault], site: int) -> int:
    return int(sum(fault.amount for fault in faults if fault.kind == "skews" and fault.sites[0] == site) * 1_000_000)


@dataclass
class Circumstances:
    """Follows the active faults at one site after the other."""

    active: Collection[Fault] = ()
    _refusing: set[int] = field(default_factory=set)
    _skews: dict[int, int] = field(default_factory=dict)

    def apply(self, site: Site) -> None:
        """Make a site as it is while these faults are active."""
        self._set_clock(site, skew_microseconds(self.active, site.number))
        self._set_refusing(site, is_refusing(self.active, site.number))

    def apply_anew(self, site: Site) -> None:
        """Do so at a site whose data is another's, or is that of another time."""
        do(site, ALLOW)
        do(site, CLOCK.format(microseconds=0))
        self._refusing.discard(site.number)
        self._skews.pop(site.number, None)
        self.apply(site)

    def _set_clock(self, site: Site, microseconds: int) -> None:
        if self._skews.get(site.number, 0) != microseconds:
            do(site, CLOCK.format(microseconds=microseconds))
            self._skews[site.number] = microseconds

    def _set_refusing(self, site: Site, refuses: bool) -> None:
        if (site.number in self._refusing) != refuses:
            do(site, REFUSE if refuses else ALLOW)
            self._refusing ^= {site.number}


def do(site: Site, statement: str) -> None:
    """Do it, again if it comes into a deadlock with the site's clients and its merging."""

    def is_done() -> bool:
        try:
            site.admin(statement)
        except psycopg.errors.DeadlockDetected:
            return False
        return True

    eventually(is_done, f"{site.name}: {statement}")
