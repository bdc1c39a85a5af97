"""The status of a MultiServerCluster: what every site sees of every other, in plain words.

Every figure about a link carries its observer (the site it stands under) and when it was observed. Unset is unknown.
Figures that change all the time are given in steps, so that a quiet cluster causes no writes; exact ones are in the
metrics.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from multiserver.api.base import Model, Moment

Truth = Literal["True", "False", "Unknown"]


MESSAGE_LENGTH_MAX = 32768


class Condition(Model):
    """One named judgement on the cluster."""

    type: str = Field(max_length=316)
    """Name of the judgement."""
    status: Truth
    """True, False, or Unknown where it is not known."""
    observed_generation: int
    """Generation of the resource it was made for."""
    last_transition_time: Moment
    """Since when the status is what it is."""
    reason: str = Field(max_length=1024)
    """One documented word, see docs/runbooks."""
    message: str = Field(max_length=MESSAGE_LENGTH_MAX)
    """The plain sentence, with the way out."""


class PeerFiles(Model):
    """The peer's Syncthing from the observer's viewpoint."""

    reachable: Truth = "Unknown"
    """Whether the peer's Syncthing is connected."""
    percent: int | None = None
    """How much of all folders the peer holds, 0 to 100."""


class PeerStatus(Model):
    """One peer, from the viewpoint of the site that this stands under."""

    name: str
    """Name of the peer."""
    observed_at: Moment | None = None
    """When the observer read these figures, in steps while nothing else changes."""
    state: Literal["Connected", "CutOff", "Unknown"] = "Unknown"
    """Whether the observer reaches the peer."""
    since: Moment | None = None
    """Since when."""
    message: str = ""
    """Why the peer is not reached."""
    last_connection: Moment | None = None
    """When the connection was last opened."""
    last_ping: Moment | None = None
    """When the peer last answered; while it answers, in steps."""
    ping_milliseconds: int | None = None
    """Round trip, in steps."""
    clock_offset_milliseconds: int | None = None
    """The peer's clock minus the observer's, in steps."""
    files: PeerFiles = PeerFiles()
    """The peer's files."""
    replication_active: Truth = "Unknown"
    """Whether changes flow both ways."""
    lag_bytes: int | None = None
    """What the peer has not confirmed yet, in steps; 0 means up to date."""
    lag_seconds: int | None = None
    """Age of the peer's newest heartbeat here, in steps."""
    retained_bytes: int | None = None
    """Write-ahead log kept for the peer, in steps."""
    autonomy_left: str | None = None
    """How long the peer may stay away until the observer gives up what it keeps for it, in steps. Then the peer fetches
    what it missed by comparing, which takes longer."""


class SiteStatus(Model):
    """One site: what it is, and how it sees its peers."""

    name: str
    """Name of the site."""
    server_number: int | None = None
    """Its server number."""
    address: str = ""
    """Host name and port of its database inside Kubernetes."""
    system_id: str | None = None
    """PostgreSQL's system identifier of the database that it goes on with; one that is held back is not told here."""
    state: Literal["Ready", "Starting", "NotReady", "Unknown"] = "Unknown"
    """Whether it serves."""
    message: str = ""
    """Why it does not serve, and the way out."""
    version: str = ""
    """Versions of PostgreSQL and of the agent."""
    observed_at: Moment | None = None
    """When the site last reported, in steps."""
    parked_rows: int | None = None
    """Rows that it keeps aside since the table cannot hold them now, in steps."""
    conflicts_last_day: int | None = None
    """Changes lost to concurrent ones that it has seen since yesterday, in steps."""
    files: str = "Unknown"
    """Its files in one sentence."""
    backup: str = "Unknown"
    """Its backups in one sentence."""
    raid: str = "Unknown"
    """Its disk array in one sentence."""
    disk: str = "Unknown"
    """Its volumes in one sentence."""
    peers: list[PeerStatus] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Every other site, from this site's own viewpoint."""


class Status(Model):
    """What the operator reports."""

    model_config = ConfigDict(json_schema_extra={"description": "What the operator reports."})

    observed_generation: int | None = None
    """Generation of the resource that this status speaks of."""
    summary: str = ""
    """The whole in one plain sentence."""
    schema_site: str | None = Field(default=None, max_length=40)
    """Site at which the schema is changed; it stays for good."""
    sites_ready: str = ""
    """Ready sites of all, for example 3/3."""
    lag: str = ""
    """The greatest lag of any link."""
    files: str = ""
    """Files in a word."""
    backup: str = ""
    """Backups in a word."""
    conditions: list[Condition] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Judgements on the cluster."""
    sites: list[SiteStatus] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Every site with its own viewpoint of all others."""
