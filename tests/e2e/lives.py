"""What happens in the life of a cluster's sites, one after the other, while the operator is killed again and again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hack.demo.mesh import Mesh, is_healthy
from hack.demo.waiting import wait_for
from tests.e2e import accidents
from tests.e2e.killable_operator import KillableOperator
from tests.e2e.leftovers import assert_nothing_left_over
from tests.e2e.meshes import site, with_sites
from tests.e2e.writers import Writer, assert_nothing_lost_or_doubled, writing

TWO = ("berlin", "hamburg")
GUEST = "leipzig"
"""It joins the two, and leaves."""
THREE = (*TWO, GUEST)
NUMBERS = {name: number for number, name in enumerate(THREE, 1)}
END_SECONDS = 600


@dataclass
class Lives:
    """A cluster whose sites lead an eventful life, and all that was written in it."""

    victim: KillableOperator
    two: Mesh
    moments: random.Random
    kills_max: int
    mesh: Mesh = field(init=False)
    left: tuple[str, ...] = ()
    written: list[Writer] = field(default_factory=list)
    table: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mesh = self.two

    def lead(self, life: str) -> None:
        """Let one thing happen under fire, and see that it ended well. `life` is one of `all`."""
        started, kills, number = time.monotonic(), self.victim.kills, len(self.table) + 1
        self.all[life](f"{number}-{life.replace(' ', '-')}")
        with writing(f"{number}-after", self.mesh) as after:
            pass
        self.written += after.values()
        assert_nothing_lost_or_doubled(self.mesh.sites, self.written)
        self.mesh.wait_until_healthy(END_SECONDS)
        assert_nothing_left_over(self.mesh, *self.left)
        rows = sum(len(writer.confirmed) for writer in self.written)
        seconds = time.monotonic() - started
        self.table.append(f"{life:<18} {self.victim.kills - kills:>5} {seconds:>8.0f} {rows:>12}")

    def tell(self) -> str:
        """Give the lives that ended well, as a table."""
        heading = f"{'life':<18} {'kills':>5} {'seconds':>8} {'rows so far':>12}"
        end = f"{self.victim.kills} kills; each of these {len(self.table)} lives ended well: no row lost or doubled"
        return "\n".join([heading, *self.table, end])

    @property
    def all(self) -> dict[str, Callable[[str], None]]:
        return {
            "join": self._join,
            "lost slot": self._lose_slot,
            "lost volume": self._lose_volume,
            "put back in time": self._put_back,
            "restored snapshot": self._restore,
            "leave": self._leave,
        }

    def _join(self, prefix: str) -> None:
        self._happen(prefix, lambda: self._declare(*THREE), lambda: is_healthy(self.mesh.status()))
        self.left = ()

    def _leave(self, prefix: str) -> None:
        self._happen(prefix, lambda: self._declare(*TWO), self._is_left)
        self.left = (GUEST,)

    def _lose_slot(self, prefix: str) -> None:
        keeper, peer = self.moments.sample(self.mesh.sites, 2)
        before = accidents.birth(keeper, NUMBERS[peer.name])
        self._happen(
            prefix,
            lambda: accidents.lose_slot(keeper, NUMBERS[peer.name]),
            lambda: accidents.birth(keeper, NUMBERS[peer.name]) not in (before, "") and is_healthy(self.mesh.status()),
        )

    def _lose_volume(self, prefix: str) -> None:
        name = self._any()
        self._happen_to(name, prefix, lambda: accidents.lose_volume(self.mesh, name))

    def _put_back(self, prefix: str) -> None:
        name = self._any()
        earlier = self._snapshot(name, prefix)
        self._happen_to(name, prefix, lambda: accidents.put_back(self.mesh, name, earlier))

    def _restore(self, prefix: str) -> None:
        name = self._any()
        copy = self._snapshot(name, prefix)
        self._happen_to(name, prefix, lambda: accidents.restore(self.mesh, name, copy))

    def _any(self) -> str:
        return self.moments.choice(self.mesh.sites).name

    def _snapshot(self, name: str, prefix: str) -> Path:
        """Copy a site's volume while all write, then have the site forget that more was written, also by itself."""
        with writing(f"{prefix}-early", self.mesh) as early:
            copy = accidents.snapshot(self.mesh, name)
        with writing(f"{prefix}-forgotten", self.mesh) as forgotten:
            pass
        self.written += [*early.values(), *forgotten.values()]
        assert_nothing_lost_or_doubled(self.mesh.sites, self.written)
        return copy

    def _happen_to(self, name: str, prefix: str, event: Callable[[], None]) -> None:
        """Let something happen to a site's data while all others write. What only it had would be lost rightly."""
        broken = site(self.mesh, name)
        before = accidents.incarnation(broken)
        others = [one.name for one in self.mesh.sites if one.name != name]
        self._happen(
            prefix,
            event,
            lambda: accidents.incarnation(broken) not in (before, "") and is_healthy(self.mesh.status()),
            *others,
        )

    def _happen(self, prefix: str, event: Callable[[], None], is_over: Callable[[], bool], *writers: str) -> None:
        with writing(prefix, self.mesh, *writers) as wrote, self.victim.under_fire(self.moments, self.kills_max):
            event()
            wait_for(f"the end of {prefix}", is_over, until=bool, timeout_seconds=END_SECONDS)
        self.written += wrote.values()

    def _declare(self, *names: str) -> None:
        self.mesh = with_sites(self.two, *names)

    def _is_left(self) -> bool:
        guest = f"{self.two.name}-{GUEST}"
        server = self.two.kubectl("get", "statefulset,pod", "-l", f"multiserver.dev/site={GUEST}", "-o", "name")
        return guest not in server and is_healthy(self.mesh.status())
