"""A site's first database as a copy of a donor's: what joins a cluster, or has lost its volume, starts with all data.

The copy is made beside its place and goes through these steps; a kill at any of them leaves nothing but a folder that
the next run throws away:
  1. pg_basebackup takes it over TLS, with the log that makes it consistent;
  2. a server of one session without network (single-user mode) recovers it and runs multiserver.become_copy(), so it
     never talks to anybody as its donor;
  3. it gets a system identifier of its own, and a log that begins under it;
  4. it is moved to its place.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from multiserver.api import paths as pod
from multiserver.api.siteconfig import SiteConfig
from multiserver.prepare.control_file import new_identifier
from multiserver.prepare.donors import Donor, no_donor, usable_donors
from multiserver.prepare.errors import PrepareError
from multiserver.prepare.new_log import begin_new_log, run_single_user
from multiserver.prepare.programs import Run, Say, program_major
from multiserver.settings import SitePaths

BECOME_COPY = "select multiserver.become_copy();\n"

_PROGRESS = re.compile(r"^(?P<done>\d+)/(?P<all>\d+) kB \((?P<percent>\d+)%\)")
_PERCENT_STEP = 10


def copy_donor(paths: SitePaths, config: SiteConfig, unfinished: Path, run: Run, say: Say) -> str:
    """Make a whole database in the folder `unfinished`, which does not exist; give the donor's name.

    Raises PrepareError if no donor can be copied, with each one's reason; OSError if the volume cannot be written.
    """
    reasons = []
    for donor in usable_donors(paths, config, program_major(run)):
        say(f"copying the database of {donor.site}")
        try:
            _take(donor, unfinished, run, say)
        except PrepareError as error:
            reasons.append(f"{donor.site}: {error}")
            shutil.rmtree(unfinished, ignore_errors=True)
            continue
        make_own(unfinished, paths.at(pod.POSTGRES_CONFIG), config.database, run)
        return donor.site
    raise PrepareError(no_donor(config, reasons))


def _take(donor: Donor, unfinished: Path, run: Run, say: Say) -> None:
    """Copy the donor's data directory as it is at the end of the copying; it is on the disk then."""
    argv = [
        "pg_basebackup",
        f"--dbname={donor.target.conninfo(tcp_user_timeout=60_000, keepalives_idle=10)}",
        f"--pgdata={unfinished}",
        "--format=plain",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--progress",
        "--no-password",
    ]
    run(argv, on_line=_progress_listener(donor.site, say))


def make_own(unfinished: Path, config_file: Path, database: str, run: Run) -> None:
    """Cut all that ties a copy to its donor; `config_file` is the site's own postgresql.conf. Raises PrepareError."""
    run_single_user(unfinished, config_file, database, BECOME_COPY, run)
    begin_new_log(unfinished, new_identifier(), run)


def _progress_listener(donor: str, say: Say) -> Callable[[str], None]:
    """Give a listener that turns pg_basebackup's lines into words, once for each tenth."""
    said = 0

    def listen(line: str) -> None:
        nonlocal said
        match = _PROGRESS.match(line)
        if match and (percent := int(match["percent"])) >= said + _PERCENT_STEP:
            said = percent - percent % _PERCENT_STEP
            say(f"{said} % of {int(match['all']) / 1e6:.1f} GB copied from {donor}")

    return listen
