"""The volume of the backups, and what the backup programs want to find besides it."""

from multiserver.backup.config import render_secrets
from multiserver.prepare.atomic import make_folder, write_if_different
from multiserver.prepare.errors import PrepareError
from multiserver.settings import SitePaths


def prepare_secrets(paths: SitePaths) -> None:
    """Write the passphrase in pgBackRest's own form into the memory that the pod's containers share.

    Raises PrepareError.
    """
    try:
        passphrase = paths.passphrase.read_text().rstrip("\n")
        secrets = render_secrets(passphrase)
    except OSError as error:
        raise PrepareError(f"{paths.passphrase} cannot be read ({error.strerror}): is the Secret mounted?") from error
    except ValueError as error:
        raise PrepareError(f"{paths.passphrase}: {error}") from error
    make_folder(paths.pgbackrest_secrets)
    make_folder(paths.pgbackrest_locks)
    write_if_different(paths.pgbackrest_secrets / "passphrase.conf", secrets.encode())


def prepare_repository(paths: SitePaths) -> None:
    """Make the folder of the data's repository. Raises PrepareError, for which no site need stay down."""
    make_folder(paths.pgbackrest_repository, mode=0o750)
