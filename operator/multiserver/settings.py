"""Where a process of the site finds its files: the paths of `api.paths`, below another root outside the pod."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from multiserver.api import paths


@dataclass(frozen=True)
class SitePaths:
    """The folder tree of a site's pod, seen from a root; a test gives a folder of its own as the root."""

    root: Path = Path("/")

    def at(self, path: PurePosixPath) -> Path:
        """Give the place of one of `api.paths`."""
        return self.root / path.relative_to("/")

    @property
    def site_config(self) -> Path:
        """`site.json`, what the site is told from outside."""
        return self.at(paths.SITE_CONFIG)

    @property
    def pgbackrest_config(self) -> Path:
        """pgBackRest's configuration file."""
        return self.at(paths.PGBACKREST_CONFIG)

    @property
    def trust(self) -> Path:
        """The certificates of all sites and the operator."""
        return self.at(paths.TRUST)

    @property
    def identity(self) -> Path:
        """The site's keys and certificates."""
        return self.at(paths.IDENTITY)

    @property
    def passphrase(self) -> Path:
        """File with the passphrase of the backup repositories."""
        return self.at(paths.PASSPHRASE)

    @property
    def data(self) -> Path:
        """The volume of the database."""
        return self.at(paths.DATA)

    @property
    def pgdata(self) -> Path:
        """PostgreSQL's data directory on that volume."""
        return self.at(paths.PGDATA)

    @property
    def rewound(self) -> Path:
        """File that tells `prepare` that the database was put back in time."""
        return self.at(paths.REWOUND)

    @property
    def last_backups(self) -> Path:
        """File that holds how the last backup of each kind ended, kept by the agent."""
        return self.at(paths.LAST_BACKUPS)

    @property
    def files(self) -> Path:
        """The volume of the files."""
        return self.at(paths.FILES)

    @property
    def folders(self) -> Path:
        """The folder that holds the synchronised folders, on the volume of the files."""
        return self.at(paths.FOLDERS)

    @property
    def syncthing_home(self) -> Path:
        """Syncthing's keys, configuration and index, beside the folders on the same volume."""
        return self.at(paths.SYNCTHING_HOME)

    @property
    def syncthing_api_key(self) -> Path:
        """File with the key of Syncthing's REST interface, made by `prepare`."""
        return self.syncthing_home / "api-key"

    @property
    def syncthing_socket(self) -> Path:
        """Unix socket of Syncthing's REST interface."""
        return self.at(paths.SYNCTHING_SOCKET)

    @property
    def repository(self) -> Path:
        """The volume of the backup repositories."""
        return self.at(paths.REPOSITORY)

    @property
    def pgbackrest_repository(self) -> Path:
        """pgBackRest's repository: the data and its write-ahead log."""
        return self.repository / "pgbackrest"

    @property
    def restic_repository(self) -> Path:
        """restic's repository: the files."""
        return self.repository / "restic"

    @property
    def run(self) -> Path:
        """Folder that the containers of the pod share: sockets, locks, and secrets in the form a program wants."""
        return self.at(paths.RUN)

    @property
    def pgbackrest_secrets(self) -> Path:
        """Folder of the configuration that pgBackRest reads besides its file: the passphrase, made by `prepare`."""
        return self.run / "pgbackrest.d"

    @property
    def pgbackrest_locks(self) -> Path:
        """Folder of pgBackRest's locks, shared by PostgreSQL's container (archiving) and the agent's (backups)."""
        return self.run / "pgbackrest-locks"


POD = SitePaths()
"""The tree as it is in the pod."""
