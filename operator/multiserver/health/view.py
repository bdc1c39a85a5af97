"""What health is judged from: a plain picture of the cluster at one moment, made by the control loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from multiserver.api.report import SiteReport
from multiserver.api.spec import Cluster

ServingState = Literal["Ready", "Starting", "NotReady", "Unknown"]


@dataclass(frozen=True)
class Serving:
    """Whether a site's pod serves, with a sentence on why not."""

    state: ServingState
    message: str = ""


@dataclass(frozen=True)
class SequenceUsage:
    """How far a site has used its range of one sequence."""

    sequence: str
    current: int
    minimum: int
    maximum: int
    percent: float
    """Share of the range that is used, 0 to 100, from the end at which the sequence began."""


@dataclass(frozen=True)
class SiteView:
    """One site as the operator sees it now."""

    name: str
    serving: Serving
    server_number: int | None = None
    address: str = ""
    report: SiteReport | None = None
    """The newest report known: its own answer, or the copy that a peer holds."""
    report_is_live: bool = False
    """Whether the site itself answered just now; else the report is a memory."""
    unreachable: str = ""
    """Why the operator cannot speak to the site; empty while it can."""
    unreachable_since: datetime | None = None
    system_id: str | None = None
    """Names its data volume; None where there is no answer, or the volume is not the one that the site had."""
    missing_links: tuple[str, ...] | None = None
    """Peers to which a slot or subscription is still to be made; None where it is not known."""
    open: bool | None = None
    """Whether the application may log in; None where it is not known."""
    blocked: str = ""
    """Why the site cannot open before somebody acts, and the way out; empty if that is not so."""
    why_closed: str = ""
    """When a closed site opens, in words that begin with "once"; empty if it is open or opens now."""
    closed_since: str = ""
    """Since when it is closed and what closed it, in words that begin with "since"; empty if it is open or new."""
    incomplete: tuple[str, ...] = ()
    """Peers from which the site is to fetch what it may lack."""
    schema_behind: str = ""
    """That it waits for schema changes which it may have missed for good, and the way out; empty if it does not."""
    sequences: tuple[SequenceUsage, ...] = ()

    @property
    def catches_up(self) -> str:
        """Why it is closed and when it opens, in words that follow its name; empty if it is open or opens now."""
        state = f"is closed {self.closed_since}" if self.closed_since else "is new"
        return f"{state}; it opens {self.why_closed}" if self.why_closed else ""


@dataclass(frozen=True)
class ActionFailure:
    """An action of the plan that failed in the last round."""

    site: str | None
    action: str
    """The action in words, for example "apply StatefulSet lab-berlin"."""
    message: str
    refused: bool
    """Whether trying again unchanged cannot help."""


@dataclass(frozen=True)
class ClusterView:
    """The whole cluster as the operator sees it now."""

    now: datetime
    cluster: Cluster
    sites: Mapping[str, SiteView]
    """By site name, in the order of the specification."""
    schema_site: str | None = None
    """The schema site; None until a site has opened."""
    pending: tuple[str, ...] = ()
    """What the plan still has to do, in words."""
    failures: tuple[ActionFailure, ...] = field(default=())

    @property
    def all(self) -> tuple[SiteView, ...]:
        """The sites in the order of the specification."""
        return tuple(self.sites.values())
