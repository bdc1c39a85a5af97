"""pgBackRest's configuration and the command lines that use it. Pure.

The passphrase stands in a second file that only the site's user may read (`prepare` makes it at every start), so it is
in no argument list, no environment and no ConfigMap.
"""

from multiserver.settings import POD, SitePaths

STANZA = "site"
KEPT_BY_ITSELF = 9999999
"""So many full backups pgBackRest keeps unless it is told: all. It would go by the clock alone."""

_CONFIG = """\
[global]
repo1-type=posix
repo1-path={repository}
repo1-cipher-type=aes-256-cbc
repo1-bundle=y
repo1-block=y
repo1-retention-full={kept_by_itself}
compress-type=zst
compress-level=3
process-max=2
start-fast=y
archive-timeout=60
lock-path={locks}
log-path={run}
log-level-file=off
log-level-console=info
log-level-stderr=off

[global:archive-push]
log-level-console=warn

[{stanza}]
pg1-path={pgdata}
pg1-socket-path={run}
pg1-user=postgres
"""

_SECRETS = """\
[global]
repo1-cipher-pass={passphrase}
"""


def render(paths: SitePaths = POD, port: int = 5432) -> str:
    """Give pgbackrest.conf of a site."""
    text = _CONFIG.format(
        repository=paths.pgbackrest_repository,
        kept_by_itself=KEPT_BY_ITSELF,
        locks=paths.pgbackrest_locks,
        run=paths.run,
        stanza=STANZA,
        pgdata=paths.pgdata,
    )
    return f"{text}pg1-port={port}\n"


def render_secrets(passphrase: str) -> str:
    """Give the second configuration file, which holds the passphrase. Raises ValueError if it is unfit for the file."""
    if not passphrase or not passphrase.isprintable() or passphrase != passphrase.strip():
        raise ValueError("the backup passphrase is empty or has control characters or outer spaces: set another one")
    return _SECRETS.format(passphrase=passphrase)


def pgbackrest_argv(command: str, *options: str, paths: SitePaths = POD) -> list[str]:
    """Give the command line of a pgBackRest command for the site, for example `backup`, `--type=full`."""
    return [
        "pgbackrest",
        f"--config={paths.pgbackrest_config}",
        f"--config-include-path={paths.pgbackrest_secrets}",
        f"--stanza={STANZA}",
        *options,
        command,
    ]


def archive_command(paths: SitePaths = POD) -> str:
    """Give PostgreSQL's `archive_command`. Its paths have no blanks, so it needs no quoting."""
    return " ".join([*pgbackrest_argv("archive-push", paths=paths), "%p"])
