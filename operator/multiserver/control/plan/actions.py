"""The small idempotent things the operator can do. Plain data: the plan orders them, `control.act` does them.

Every action may be interrupted and done again; none of them relies on another having been remembered.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Action(ABC):
    """One thing to do; `words` names it for logs and status."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The action for a reader, as an order: "apply Service lab"."""


@dataclass(frozen=True)
class MakeSiteKeys(Action):
    """Make a site's keys and certificates, once for good; its server number is kept beside them."""

    site: str
    server_number: int

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"make the keys of site {self.site}"


@dataclass(frozen=True)
class MakeOperatorKeys(Action):
    """Make the operator's key and certificate for this cluster, once for good."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return "make the operator's keys"


@dataclass(frozen=True)
class MakeApplicationPassword(Action):
    """Make the application's password, once for good."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return "make the application's password"


@dataclass(frozen=True)
class MakeBackupPassphrase(Action):
    """Make the passphrase of the backup repositories, once for good: without it no backup can be read."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return "make the passphrase of the backups"


@dataclass(frozen=True)
class Apply(Action):
    """Bring a child object to what is declared."""

    desired: dict[str, Any] = field(hash=False)
    live: Mapping[str, Any] | None = field(default=None, hash=False)
    """The object as it was seen; None if it was not there."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"apply {self.desired['kind']} {self.desired['metadata']['name']}"


@dataclass(frozen=True)
class Delete(Action):
    """Delete a child object that is not declared any more, if it still is the one that was seen."""

    live: Mapping[str, Any] = field(hash=False)

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"delete {self.live['kind']} {self.live['metadata']['name']}"


@dataclass(frozen=True)
class RestartPod(Action):
    """Stop a site's pod, so that it comes back as declared."""

    site: str
    pod: Mapping[str, Any] = field(hash=False)
    why: str = ""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"restart site {self.site}" + (f", since {self.why}" if self.why else "")


@dataclass(frozen=True)
class DatabaseAction(Action):
    """One thing to do in a site's database alone: no object of the cluster has to be made before it."""

    site: str


@dataclass(frozen=True)
class InstallEngine(DatabaseAction):
    """Install or upgrade the schema `multiserver` and the roles at a site."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"install replication at {self.site}"


@dataclass(frozen=True)
class ConfigureSite(DatabaseAction):
    """Tell the engine of a site which site it is, which others there are and where the schema is changed."""

    also: tuple[tuple[int, str], ...] = ()
    """Sites that have left and that this one has still to forget, by number and name."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"tell {self.site} who its peers are"


@dataclass(frozen=True)
class MakeSlot(DatabaseAction):
    """Make a site keep its changes for a peer from now on."""

    peer: str

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"make the slot for {self.peer} at {self.site}"


@dataclass(frozen=True)
class OpenSite(DatabaseAction):
    """Let the application log in."""

    complete_with: tuple[str, ...] = ()
    """Peers of which the site must have everything, if its history broke."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"open {self.site} for the application"


@dataclass(frozen=True)
class Subscribe(DatabaseAction):
    """Make a site receive a peer's changes."""

    peer: str
    incarnation: str | None = None
    """The peer's present history; None if it is not known now."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"subscribe {self.site} to {self.peer}"


@dataclass(frozen=True)
class SetRanges(DatabaseAction):
    """Give a site's sequences their ranges."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"set the number ranges of {self.site}"


@dataclass(frozen=True)
class ReplaceSlot(DatabaseAction):
    """Make a peer's slot anew; what fell between the old and the new one, the peer fetches by comparing."""

    peer: str
    why: str

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"make the slot for {self.peer} at {self.site} anew, since {self.why}"


@dataclass(frozen=True)
class Resubscribe(DatabaseAction):
    """Drop a subscription whose position means nothing any more, and make it anew."""

    peer: str
    incarnation: str | None
    """The peer's present history."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"subscribe {self.site} to {self.peer} anew, since {self.peer} has another history than before"


@dataclass(frozen=True)
class CloseSite(DatabaseAction):
    """Keep the application out of a site that leaves, and end its sessions."""

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"close {self.site} for the application"


@dataclass(frozen=True)
class ForgetSite(DatabaseAction):
    """Drop a site's subscription to, slot for and notes of a site that has left."""

    number: int
    """Server number of the site that has left."""
    name: str

    @property
    def words(self) -> str:
        """The action for a reader."""
        return f"forget {self.name} at {self.site}"
