"""postgresql.conf: the operator's defaults, over them the resource's parameters, over both what cannot be otherwise."""

import re
from collections.abc import Mapping

from multiserver.api import paths
from multiserver.api.names import POSTGRES_PORT, Names
from multiserver.api.spec import Cluster
from multiserver.backup.config import archive_command
from multiserver.replication.settings import required_settings
from multiserver.resources.objects import short_hash
from multiserver.resources.quantities import whole_bytes

_MIB = 1024 * 1024
_MIB_OF = {"MB": 1, "GB": 1024, "TB": 1024 * 1024}

BACKLOG_SETTING = "max_slot_wal_keep_size"
"""How much log a cut-off peer may hold back before its slot is given up for the sake of this site's volume."""
BACKLOG_PERCENT = 40
"""Share of the data volume that the backlog gets unless the resource says otherwise."""
BACKLOG_PERCENT_MAX = 80
"""Share that the backlog gets at the most, whatever the resource says: the rest is for the data itself."""
BACKLOG_MIB_MIN = 256

_RESTART_SETTINGS = """
archive_mode autovacuum_freeze_max_age autovacuum_multixact_freeze_max_age autovacuum_worker_slots bonjour
bonjour_name cluster_name commit_timestamp_buffers data_directory data_sync_retry dynamic_shared_memory_type
event_source external_pid_file hba_file hot_standby huge_page_size huge_pages ident_file io_max_combine_limit
io_max_concurrency io_method jit_provider listen_addresses logging_collector max_active_replication_origins
max_connections max_files_per_process max_locks_per_transaction max_logical_replication_workers max_notify_queue_pages
max_pred_locks_per_transaction max_prepared_transactions max_replication_slots max_wal_senders max_worker_processes
min_dynamic_shared_memory multixact_member_buffers multixact_offset_buffers notify_buffers port recovery_target
recovery_target_action recovery_target_inclusive recovery_target_lsn recovery_target_name recovery_target_time
recovery_target_timeline recovery_target_xid reserved_connections serializable_buffers shared_buffers
shared_memory_type shared_preload_libraries subtransaction_buffers superuser_reserved_connections
track_activity_query_size track_commit_timestamp transaction_buffers unix_socket_directories unix_socket_group
unix_socket_permissions wal_buffers wal_decode_buffer_size wal_level wal_log_hints
"""
RESTART_SETTINGS = frozenset(_RESTART_SETTINGS.split())
"""Settings of PostgreSQL 18 that take effect at a start only: context `postmaster` in `postgres --describe-config`."""


def settings(cluster: Cluster, site: str, data_volume_bytes: int | None = None) -> dict[str, str]:
    """Give all settings of a site's server by name.

    Those that depend on the volume suit the smaller of the declared one and the one that is there.
    """
    declared_bytes = whole_bytes(cluster.spec.database.storage.size)
    volume_mib = min(declared_bytes, data_volume_bytes or declared_bytes) // _MIB
    given = {**_defaults(cluster, volume_mib), **cluster.spec.database.parameters}
    backlog = {BACKLOG_SETTING: _backlog(volume_mib, given[BACKLOG_SETTING])}
    return {**given, **backlog, **_fixed(cluster, site), **required_settings()}


def render(values: Mapping[str, str]) -> str:
    """Give postgresql.conf, sorted by name."""
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in sorted(values.items()))


def restart_hash(values: Mapping[str, str]) -> str:
    """Give a hash that changes only when a change of the settings needs a restart; all others need a reload.

    A setting of an extension (its name has a point) counts as one that needs a restart, since only the extension knows.
    """
    relevant = {name: value for name, value in values.items() if name in RESTART_SETTINGS or "." in name}
    return short_hash(relevant)


def _defaults(cluster: Cluster, volume_mib: int) -> dict[str, str]:
    """Give defaults that suit the volume and the memory; the resource may set others."""
    return {
        "shared_buffers": f"{max(128, _memory_bytes(cluster) // 4 // _MIB)}MB",
        "dynamic_shared_memory_type": "posix",
        "max_wal_size": f"{min(max(volume_mib // 10, 128), 4096)}MB",
        BACKLOG_SETTING: f"{max(volume_mib * BACKLOG_PERCENT // 100, BACKLOG_MIB_MIN)}MB",
        "wal_compression": "lz4",
        "ssl_min_protocol_version": "TLSv1.3",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "log_lock_waits": "on",
    }


def _backlog(volume_mib: int, wanted: str) -> str:
    """Give how much log may be kept for peers that do not confirm it: never so much that it fills the volume.

    The resource takes only amounts that are read here.
    """
    amount = re.fullmatch(r"([0-9]+)(MB|GB|TB)", wanted)
    if amount is None:
        return wanted
    most = max(volume_mib * BACKLOG_PERCENT_MAX // 100, BACKLOG_MIB_MIN)
    return f"{min(int(amount[1]) * _MIB_OF[amount[2]], most)}MB"


def _memory_bytes(cluster: Cluster) -> int:
    """Give the memory that the server may count on: what is requested, or else limited."""
    resources = cluster.spec.database.resources
    return whole_bytes(resources.requests.get("memory") or resources.limits.get("memory") or "0")


def _fixed(cluster: Cluster, site: str) -> dict[str, str]:
    """Give the settings that the pod, TLS and the backups depend on."""
    return {
        "cluster_name": Names(cluster.name, cluster.namespace).site(site),
        "listen_addresses": "*",
        "port": str(POSTGRES_PORT),
        "unix_socket_directories": str(paths.RUN),
        "hba_file": str(paths.POSTGRES_ACCESS),
        "ident_file": str(paths.POSTGRES_IDENT),
        "ssl": "on",
        "ssl_cert_file": str(paths.CERTIFICATE),
        "ssl_key_file": str(paths.KEY),
        "ssl_ca_file": str(paths.TRUST),
        "archive_mode": "on",
        "archive_command": archive_command(),
        "archive_library": "",  # With one, PostgreSQL refuses to archive by a command, and counts no failure.
        # What the archive lacks is lost with a volume, unless there are peers. With them each segment that is ended
        # early costs time: what an idle site keeps for a peer that is away grows by it.
        "archive_timeout": "1min" if len(cluster.spec.sites) == 1 else "5min",
        "logging_collector": "off",
        "log_destination": "stderr",
    }


def _quoted(value: str) -> str:
    """Quote a value as PostgreSQL's configuration file wants it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
