"""What one site's database says of itself: a single set of queries, one immutable answer."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from multiserver.api.report import COUNTED_MAX
from multiserver.postgres.connect import Connection


class Facts(BaseModel):
    """Base of what was observed: immutable, exact."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Slot(Facts):
    """The own slot for a peer: how far the peer has confirmed our journal."""

    peer_number: int
    active: bool
    wal_status: str | None
    """reserved, extended, unreserved or lost; None while PostgreSQL does not know."""
    lag_bytes: int | None
    """Write-ahead log that the peer has not confirmed yet."""
    retained_bytes: int | None
    """Write-ahead log kept on disk for this slot."""
    inactive_since: datetime | None
    confirmed_lsn: str | None = None
    """Up to where the peer has confirmed our journal."""
    safe_wal_size: int | None = None
    """Bytes that may still be written before the slot is in danger; None if there is no limit or the slot is lost."""
    birth: str | None = None
    """Names the slot from its making to its loss; None if it is not known to keep everything since then."""
    from_start: bool = False
    """The slot was made before the site opened for the first time."""


class Subscription(Facts):
    """The own subscription to a peer."""

    name: str
    enabled: bool
    conninfo: str
    worker_active: bool
    last_message_at: datetime | None
    """When the peer last said something, a keepalive included; None if never since the worker started."""
    peer_incarnation: str | None = None
    """The incarnation of the peer that the subscription was made for."""
    remote_lsn: str | None = None
    """Up to where the peer's journal was applied here, as a position in the peer's log; None if nothing was yet."""
    apply_errors: int
    """Failures to apply since the statistics were reset; a waiting or stuck link adds to it at each try."""


class Heartbeat(Facts):
    """The newest heartbeat that arrived from a peer."""

    server_number: int
    sent_at: datetime
    received_at: datetime
    system_identifier: str
    sent_lsn: str
    incarnation: str | None = None
    """The sender's history when it sent this."""


class Completeness(Facts):
    """What this site, as the receiver, knows of the link from a peer."""

    peer_number: int
    peer_incarnation: str | None
    slot_birth: str | None
    """The birth of the peer's slot up to which everything has been received; None if not known."""
    doubted_at: datetime | None
    """Since when a comparison with the peer is due in any case."""

    def covers(self, birth: str | None) -> bool:
        """Tell whether nothing is missing behind the peer's slot of this birth."""
        return birth is not None and self.slot_birth == birth and self.doubted_at is None


class BrokenHistory(Facts):
    """Why this database does not continue what peers knew of the site."""

    how: str
    """copied from a donor, or rewound: older than its peers knew it."""
    broken_at: datetime
    donor_number: int | None
    complete_until: int | None = None
    """If it was rewound and did not open since: the version up to which it has all events of all sites."""
    complete_until_time: datetime | None = None
    """When that version was given; None also if it has nothing of all sites."""


class UnreplicatedTable(Facts):
    """A table of the application whose rows stay here."""

    name: str
    reason: str


class SequenceUsage(Facts):
    """A sequence's number range at this site and how much of it is used."""

    name: str
    range_from: int
    range_to: int
    last_value: int | None
    """None if no number was drawn yet."""
    percent_used: float
    is_declared: bool
    """Whether the range is from the resource's numberRanges; otherwise it is the site's block."""


class ParkedRow(Facts):
    """How many rows of a table are parked, as far as they are counted, and one of the reasons."""

    table: str
    rows: int
    refused: int = 0
    """How many of them this site refuses; the others wait for a unique value that another row has."""
    reason: str


class PendingRestart(Facts):
    """A setting that was changed in the files but needs a restart."""

    name: str
    running_value: str


class DatabaseFacts(Facts):
    """All of it, at one moment."""

    observed_at: datetime
    """By the database's own clock."""
    system_identifier: str
    server_version: str
    engine_version: str | None = None
    """Last step of the engine; None if it is not installed."""
    engine_digest: str | None = None
    """Names exactly the steps that the database has (`install.engine_digest`)."""
    is_in_recovery: bool
    server_number: int | None = None
    schema_site: int | None = None
    schema_version: int | None = None
    sites: dict[int, str] = {}
    """Names by server number, as this site was told."""
    incarnation: str | None = None
    """Names this unbroken history of the site's log."""
    current_lsn: str = "0/0"
    """The end of the log: with `observed_at`, two observations give how fast it grows."""
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    """Since when a site that was open is closed again."""
    closed_lsn: str | None = None
    """All that the application wrote before the closing lies before it; None while a session of its may write."""
    broken_history: BrokenHistory | None = None
    collected_horizon: int = 0
    """The version up to which this site may have forgotten deletions."""
    log_must_begin_anew: bool = False
    """The database was put back in time, and its log still goes on under the name that it had (`prepare.rewound`)."""
    links: tuple[Completeness, ...] = ()
    owner_may_login: bool
    slots: tuple[Slot, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    heartbeats: tuple[Heartbeat, ...] = ()
    parked_rows: tuple[ParkedRow, ...] = ()
    conflicts_last_day: int | None = None
    """Changes lost to concurrent ones that this site has seen since yesterday, as far as they are counted."""
    unreplicated_tables: tuple[UnreplicatedTable, ...] = ()
    sequences: tuple[SequenceUsage, ...] = ()
    local_tables: tuple[str, ...] = ()
    """Patterns of the tables whose rows stay at their site, as this site was told."""
    declared_ranges: dict[str, tuple[int, int]] = {}
    """First and last number by sequence, as this site was told of the resource's numberRanges."""
    pending_restarts: tuple[PendingRestart, ...]

    @property
    def parked_count(self) -> int:
        """Rows that this site holds but cannot store."""
        return sum(parked.rows for parked in self.parked_rows)

    @property
    def refused_count(self) -> int:
        """How many of them break a rule of this site's own."""
        return sum(parked.refused for parked in self.parked_rows)

    def is_drained(self, peer_numbers: Iterable[int]) -> bool:
        """Tell whether the site is closed and these peers have confirmed all that the application wrote."""
        if self.closed_lsn is None:
            return False
        confirmed = {slot.peer_number: slot.confirmed_lsn for slot in self.slots}
        return all(lsn_number(confirmed.get(number)) >= lsn_number(self.closed_lsn) for number in peer_numbers)


def lsn_number(lsn: str | None) -> int:
    """Return a position in the log as a number of bytes; -1 for none."""
    if lsn is None:
        return -1
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


SERVER = """
select clock_timestamp() as observed_at, system_identifier::text, current_setting('server_version') as server_version,
  pg_is_in_recovery() as is_in_recovery,
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as current_lsn,
  (select rolcanlogin from pg_roles join pg_database on datdba = pg_roles.oid where datname = current_database())
    as owner_may_login
from pg_control_system()
"""

SLOTS = """
select p.peer_number, active, wal_status, inactive_since, confirmed_flush_lsn::text as confirmed_lsn, safe_wal_size,
  greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint as lag_bytes,
  greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint as retained_bytes,
  b.birth::text, coalesce(b.from_start, false) as from_start
from multiserver.peer_slots p left join multiserver.slots b using (peer_number) order by p.peer_number
"""

SUBSCRIPTIONS = """
select s.subname as name, s.subenabled as enabled, s.subconninfo as conninfo, a.pid is not null as worker_active,
  a.last_msg_receipt_time as last_message_at, coalesce(e.apply_error_count, 0) as apply_errors,
  l.peer_incarnation::text, nullif(o.remote_lsn, '0/0')::text as remote_lsn
from pg_subscription s
left join pg_stat_subscription a on a.subid = s.oid and a.worker_type = 'apply'
left join pg_stat_subscription_stats e on e.subid = s.oid
left join multiserver.links l on s.subname = 'multiserver_' || l.peer_number
left join pg_replication_origin_status o on o.external_id = 'pg_' || s.oid
where s.subdbid = (select oid from pg_database where datname = current_database())
  and s.subname ~ '^multiserver_[0-9]+$' order by s.subname
"""

PENDING_RESTARTS = """
select name, current_setting(name) as running_value from pg_settings where pending_restart order by name
"""

SITE = """
select (select replace(step, '.sql', '') from multiserver.migrations order by step desc limit 1) as engine_version,
  (select encode(sha256(convert_to(string_agg(step || ' ' || digest || chr(10), '' order by step collate "C"), 'UTF8')),
     'hex') from multiserver.migrations) as engine_digest,
  (select server_number from multiserver.site_settings), (select schema_site from multiserver.site_settings),
  (select incarnation::text from multiserver.site_settings), (select opened_at from multiserver.site_settings),
  (select closed_at from multiserver.site_settings), (select closed_lsn::text from multiserver.site_settings),
  (select jsonb_build_object('how', how, 'broken_at', broken_at, 'donor_number', donor_number,
     'complete_until', complete_until, 'complete_until_time', multiserver.version_time(nullif(complete_until, 0)))
   from multiserver.broken_history) as broken_history,
  coalesce(pg_sequence_last_value('multiserver.collected_horizon'), 0) as collected_horizon,
  multiserver.log_must_begin_anew() as log_must_begin_anew,
  (select version from multiserver.schema_state) as schema_version,
  coalesce((select jsonb_object_agg(server_number, name) from multiserver.sites), '{}') as sites,
  coalesce((select jsonb_object_agg(name, jsonb_build_array(range_from, range_to)) from multiserver.declared_ranges),
    '{}') as declared_ranges,
  array(select pattern from multiserver.local_tables order by pattern) as local_tables
"""

HEARTBEATS = """
select server_number, sent_at, received_at, system_identifier::text, sent_lsn::text, incarnation::text
from multiserver.heartbeats order by server_number
"""

LINKS = """
select peer_number, peer_incarnation::text, slot_birth::text, doubted_at from multiserver.links order by peer_number
"""

PARKED = """
select t.name as table, count(*) as rows, count(p.sqlstate) as refused, min(p.reason) as reason
from (select table_id, sqlstate, reason from multiserver.parked limit %s) p join multiserver.tables t using (table_id)
group by t.name order by t.name
"""

CONFLICTS = """
select count(*) from (select from multiserver.conflicts where detected_at > now() - interval '1 day' limit %s) as newest
"""

UNREPLICATED = """
select name, coalesce(reason, 'it is not replicated yet') as reason from multiserver.unreplicated_tables order by name
"""

SEQUENCES = """
select name, range_from, range_to, last_value, percent_used::float8 as percent_used, is_declared
from multiserver.sequence_usage order by percent_used desc, name
"""


async def observe(connection: Connection) -> DatabaseFacts:
    """Return what the database of a site says now; `connection` is a superuser's, to the application's database.

    Raises DatabaseError. A database without the engine is not an error: what only the engine knows is then empty.
    """
    facts: dict[str, Any] = {
        **(await connection.rows(SERVER))[0],
        "pending_restarts": await connection.rows(PENDING_RESTARTS),
    }
    if await connection.value("select to_regclass('multiserver.migrations')") is not None:
        facts |= (await connection.rows(SITE))[0]
        facts["slots"] = await connection.rows(SLOTS)
        facts["subscriptions"] = await connection.rows(SUBSCRIPTIONS)
        facts["links"] = await connection.rows(LINKS)
        facts["heartbeats"] = await connection.rows(HEARTBEATS)
        facts["parked_rows"] = await connection.rows(PARKED, [COUNTED_MAX])
        facts["conflicts_last_day"] = await connection.value(CONFLICTS, [COUNTED_MAX])
        facts["unreplicated_tables"] = await connection.rows(UNREPLICATED)
        facts["sequences"] = await connection.rows(SEQUENCES)
    return DatabaseFacts.model_validate(facts)
