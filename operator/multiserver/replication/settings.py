"""PostgreSQL's settings that replication needs."""

MAXIMUM_SITES = 32


def required_settings(number_of_sites: int = MAXIMUM_SITES) -> dict[str, str]:
    """Return the settings of a server in a cluster of so many sites.

    Most of the counts take effect at a restart only, so they are sized for the largest cluster at once: a cluster grows
    without a restart.
    """
    links = max(number_of_sites, MAXIMUM_SITES) - 1
    spare = 8  # base backups, a standby, a slot that is being replaced
    return {
        "wal_level": "logical",
        "max_replication_slots": str(links + spare),
        "max_wal_senders": str(links + spare),
        "max_active_replication_origins": str(links + spare),
        "max_logical_replication_workers": str(links + spare),
        "max_sync_workers_per_subscription": "1",
        "max_worker_processes": str(links + spare + 16),  # parallel queries and the application's own workers
        "wal_sender_timeout": "20s",
        "wal_receiver_timeout": "20s",
        "wal_retrieve_retry_interval": "500ms",
        "idle_replication_slot_timeout": "0",  # a cut-off peer's slot is never dropped by the clock alone
        # A session whose client has vanished ends within 35 s, also in the midst of a scan: connections are few, scans
        # cost. Not tcp_user_timeout, which would end a sender whose peer is only slow to take what it is sent.
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "client_connection_check_interval": "10s",
    }
