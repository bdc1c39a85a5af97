"""Where a history takes place: fresh servers of one template, a mesh between them, and a line for every direction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from threading import Lock
from typing import Protocol

from multiserver.postgres.connect import Target
from tests.chaos.facts import SiteFacts
from tests.chaos.proxy import Line, Network, network
from tests.postgres.mesh import DATABASE, Site
from tests.postgres.servers import Server, eventually, servers
from tests.rootfs import Rootfs

SETTINGS = {"deadlock_timeout": "200ms", "wal_retrieve_retry_interval": "200ms"}
"""So that clients, and links after a cut, lose little time."""


class Replication(Protocol):
    """A way to replicate, as far as a history needs to know it."""

    def build(self, place: "Arena", tables: tuple[str, ...]) -> None:
        """Make a mesh of empty servers and the tables in it."""

    def drain(self, place: "Arena") -> list[str]:
        """Repair, then wait until everything has come; return a sentence for each link over which it has not."""

    def read(self, place: "Arena") -> list[SiteFacts]:
        """Return what the sites hold."""


@dataclass
class Arena:
    """A mesh of sites that reach each other over lines."""

    sites: list[Site]
    """The members whose servers have data. Replaced, never changed, as several threads look at it."""
    network: Network
    lines: Mapping[tuple[int, int], Line]
    """By receiver and sender, also for the sites that may join."""
    folder: Path
    hands: Mapping[int, Lock]
    """By site: held by whoever stops, starts or repairs it, as faults and repairs come from different threads."""
    joining: Mapping[int, Server]
    """The servers of the sites that may join, without data yet; by number."""
    names: Mapping[int, str] = field(init=False)
    """Who is declared to be a member, by number; one that joins is that before its server has data."""
    past: list[SiteFacts] = field(default_factory=list)
    """What was written at sites that left, and in volumes that are gone."""

    def __post_init__(self) -> None:
        self.names = {site.number: site.name for site in self.sites}

    @property
    def running(self) -> list[Site]:
        """The members whose servers are up."""
        return [site for site in self.sites if site.server.process is not None]

    def site(self, number: int) -> Site:
        return next(site for site in self.sites if site.number == number)

    def is_running(self, number: int) -> bool:
        return any(site.number == number for site in self.running)

    def reach(self, receiver: int, sender: int) -> Target:
        """Where a receiver reaches a sender, by their numbers."""
        return Target("127.0.0.1", DATABASE, "multiserver_peer", self.lines[receiver, sender].port)


@contextmanager
def arena(rootfs: Rootfs, template: Path, folder: Path, count: int, joins: int = 0) -> Iterator[Arena]:
    """So many servers, others for sites that may join, and lines for all, all of them well; at the end all is gone."""
    with network() as lines_network, servers(rootfs, template, folder, count) as made:
        sites = [Site(number, server) for number, server in enumerate(made, start=1)]
        numbers = range(1, count + joins + 1)
        joining = {number: Server.without_data(rootfs, folder / f"server{number}") for number in numbers[count:]}
        ports = {site.number: site.server.port for site in sites} | {n: server.port for n, server in joining.items()}
        lines = {(to, of): lines_network.line_to(ports[of]) for to, of in permutations(numbers, 2)}
        try:
            yield Arena(sites, lines_network, lines, folder, {number: Lock() for number in numbers}, joining)
        finally:
            for server in joining.values():
                server.remove()


def hurry(template: Path) -> None:
    """Add the arena's settings to a template."""
    with (template / "postgresql.conf").open("a") as config:
        config.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; say whether it came to that."""
    try:
        eventually(condition, "", seconds)
    except AssertionError:
        return False
    return True
