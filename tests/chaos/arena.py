"""Where a history takes place: fresh servers of one template, a mesh between them, and a line for every direction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGQUIT
from threading import Lock
from typing import Protocol

from multiserver.postgres.connect import Target
from tests.chaos.facts import SiteFacts
from tests.chaos.proxy import Line, Network, network
from tests.postgres.mesh import DATABASE, Site
from tests.postgres.servers import eventually, servers
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
    """The members that have a server. Replaced, never changed, as several threads look at it."""
    network: Network
    lines: Mapping[tuple[int, int], Line]
    """By receiver and sender, also for the sites that may join."""
    folder: Path
    hands: Mapping[int, Lock]
    """By site: held by whoever stops, starts or repairs it, as faults and repairs come from different threads."""
    names: Mapping[int, str] = field(init=False)
    """Who is declared to be a member, by number; one that joins is that before it has a server."""
    everyone: list[Site] = field(init=False)
    """All who ever were members."""
    past: list[SiteFacts] = field(default_factory=list)
    """What was written at sites that left, and in volumes that are gone."""

    def __post_init__(self) -> None:
        self.names = {site.number: site.name for site in self.sites}
        self.everyone = list(self.sites)

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

    def lead_to(self, site: Site) -> None:
        """Have all lines to a site lead to the server that it has now."""
        for (_, sender), line in self.lines.items():
            if sender == site.number:
                line.target_port = site.server.port


@contextmanager
def arena(rootfs: Rootfs, template: Path, folder: Path, count: int, joins: int = 0) -> Iterator[Arena]:
    """So many servers, and lines for so many more sites, all of them well; all of it is gone at the end."""
    with network() as lines_network, servers(rootfs, template, folder, count) as made:
        numbers = range(1, count + joins + 1)
        lines = {
            (receiver, sender): lines_network.line_to(made[sender - 1].port if sender <= count else NOWHERE)
            for receiver in numbers
            for sender in numbers
            if receiver != sender
        }
        sites = [Site(number, server) for number, server in enumerate(made, start=1)]
        place = Arena(sites, lines_network, lines, folder, {number: Lock() for number in numbers})
        try:
            yield place
        finally:
            for site in place.everyone:
                site.server.stop(SIGQUIT)  # It may be another server than the one that was made above.


NOWHERE = 1
"""A port on which nobody listens, for lines to sites that have no server yet."""


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
