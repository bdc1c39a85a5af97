"""A log that begins anew under another system identifier, as a database needs that must not go on as it was."""

from pathlib import Path

from multiserver.prepare.control_file import set_system_identifier
from multiserver.prepare.programs import Run

_SINGLE_USER_SETTINGS = (
    "exit_on_error=on",
    # Enough for one session, and little beside the memory that the container may use.
    "shared_buffers=64MB",
)


def run_single_user(pgdata: Path, config_file: Path, database: str, text: str, run: Run) -> None:
    """Run SQL, a statement on each line, in a server of one session without network; it recovers, then shuts down.

    `config_file` is the site's own postgresql.conf. Raises PrepareError.
    """
    settings = (f"config_file={config_file}", *_SINGLE_USER_SETTINGS)
    options = [word for setting in settings for word in ("-c", setting)]
    run(["postgres", "--single", "-D", str(pgdata), *options, database], text=text)


def begin_new_log(pgdata: Path, identifier: int, run: Run) -> None:
    """Throw away the log of a database that was shut down, and begin one under this system identifier.

    If it is killed it must be done again, with the same identifier, before a server may start. Raises PrepareError or
    OSError.
    """
    set_system_identifier(pgdata, identifier)
    run(["pg_resetwal", f"--pgdata={pgdata}"])
