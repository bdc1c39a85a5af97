"""Where things are inside a site's pod. The builders mount these paths and the agent reads them."""

from pathlib import PurePosixPath

CONFIG = PurePosixPath("/etc/multiserver/config")
SITE_CONFIG = CONFIG / "site.json"
POSTGRES_CONFIG = CONFIG / "postgresql.conf"
POSTGRES_ACCESS = CONFIG / "pg_hba.conf"
POSTGRES_IDENT = CONFIG / "pg_ident.conf"
PGBACKREST_CONFIG = CONFIG / "pgbackrest.conf"
TRUST = CONFIG / "ca.crt"
IDENTITY = PurePosixPath("/etc/multiserver/identity")
CERTIFICATE = IDENTITY / "tls.crt"
KEY = IDENTITY / "tls.key"
APPLICATION = PurePosixPath("/etc/multiserver/app")
PASSPHRASE = PurePosixPath("/etc/multiserver/backup/passphrase")

DATA = PurePosixPath("/var/lib/multiserver/data")
PGDATA = DATA / "pgdata"
REWOUND = DATA / "rewound"
"""Is there if the database was put back in time, and its log has to begin anew before the server starts again."""
LAST_BACKUPS = DATA / "last-backups.json"
"""How the last backup of each kind ended; not beside the backups, since it is their volume that often fails."""
FILES = PurePosixPath("/var/lib/multiserver/files")
SYNCTHING_HOME = FILES / ".syncthing"
FOLDERS = FILES / "folders"
REPOSITORY = PurePosixPath("/var/lib/multiserver/repository")

RUN = PurePosixPath("/run/multiserver")
"""Shared by the containers of the pod: PostgreSQL's socket and Syncthing's."""
SYNCTHING_SOCKET = RUN / "syncthing.sock"
