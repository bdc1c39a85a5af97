"""Where a history takes place: fresh servers of one template, a mesh between them, and a line for every direction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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
    network: Network
    lines: Mapping[tuple[int, int], Line]
    """By receiver and sender."""

    def site(self, number: int) -> Site:
        return self.sites[number - 1]

    def reach(self, receiver: int, sender: int) -> Target:
        """Where a receiver reaches a sender, by their numbers."""
        return Target("127.0.0.1", DATABASE, "multiserver_peer", self.lines[receiver, sender].port)


@contextmanager
def arena(rootfs: Rootfs, template: Path, folder: Path, count: int) -> Iterator[Arena]:
    """So many servers, all lines well; all of it is gone at the end."""
    with network() as lines_network, servers(rootfs, template, folder, count) as made:
        sites = [Site(number, server) for number, server in enumerate(made, start=1)]
        lines = {
            (receiver.number, sender.number): lines_network.line_to(sender.server.port)
            for receiver in sites
            for sender in sites
            if receiver is not sender
        }
        yield Arena(sites, lines_network, lines)


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
