"""The volume of the database: a new one gets a database, what an existing one holds is never touched.

The first sites of a cluster begin empty; a site that comes later, or comes back without its volume, is copied from a
peer, since an empty database would look to it as if everything had been deleted or never existed. The one thing that an
existing database may get is a new log (`prepare.rewound`).
"""

import shutil
from pathlib import Path

from multiserver.api.siteconfig import SiteConfig
from multiserver.machine.atomic import sync_folder
from multiserver.machine.volumes import explain, write_problem
from multiserver.prepare.copy import copy_donor
from multiserver.prepare.errors import PrepareError
from multiserver.prepare.files import read_site_config
from multiserver.prepare.programs import Run, Say, program_major, run_program
from multiserver.prepare.rewound import begin_anew_if_rewound
from multiserver.settings import SitePaths

_INITDB = (
    "initdb",
    "--username=postgres",
    "--encoding=UTF8",
    # Sorting that no upgrade of the C library can change, so indexes stay sound and are equal at all sites.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C.UTF-8",
    "--data-checksums",
    # Heartbeats begin a segment, and archive_timeout ends it: so an idle site keeps little log for a peer that is away.
    "--wal-segsize=4",
    # No password exists; pg_hba.conf of the site decides who may come in otherwise.
    "--auth-local=peer",
    "--auth-host=reject",
)


def prepare_database(paths: SitePaths, say: Say, run: Run = run_program) -> str:
    """Make the database if the volume has none; give what was done, in words. `say` is told how far a copy is.

    Raises PrepareError if the volume cannot be written, holds something that this image must not open, or must get a
    copy of a peer's database and no peer can be reached.
    """
    present = _present_major(paths.pgdata)
    if present is None:
        return _make(paths, read_site_config(paths.site_config), say, run)
    program = program_major(run)
    if present != str(program):
        raise PrepareError(
            f"{paths.pgdata} was made by PostgreSQL {present}, this image has PostgreSQL {program}: "
            f"use an image with PostgreSQL {present}, nothing was changed"
        )
    _remove_empty_lock_file(paths)
    found = f"database of PostgreSQL {present} found in {paths.pgdata}"
    if begin_anew_if_rewound(paths, read_site_config(paths.site_config), run):
        return f"{found}: it was put back in time, so its log begins anew under another system identifier"
    return found


def _present_major(pgdata: Path) -> str | None:
    """Give the major version of the database on the volume, None if there is no database."""
    try:
        if not pgdata.exists() or not any(pgdata.iterdir()):
            return None
        return (pgdata / "PG_VERSION").read_text().strip()
    except FileNotFoundError as error:
        raise PrepareError(
            f"{pgdata} is not empty and yet no PostgreSQL database (PG_VERSION is missing): "
            "move its content away, or put the database back"
        ) from error
    except OSError as error:
        raise PrepareError(f"{pgdata} cannot be read ({error.strerror}): repair the volume") from error


def _remove_empty_lock_file(paths: SitePaths) -> None:
    """Remove what is left of PostgreSQL's lock file if the power failed, or it was killed, as it came up.

    PostgreSQL takes an empty one for that of a server that is just starting, and would refuse to start until somebody
    removes it. While the pod is being prepared no server starts.
    """
    lock = paths.pgdata / "postmaster.pid"
    try:
        if lock.is_file() and lock.stat().st_size == 0:
            lock.unlink()
    except OSError as error:
        raise PrepareError(explain(error, lock)) from error


def _make(paths: SitePaths, config: SiteConfig, say: Say, run: Run) -> str:
    """Make a database beside its place, then move it there: it is there whole or not at all."""
    if problem := write_problem(paths.data):
        raise PrepareError(problem)
    unfinished = paths.pgdata.with_name("pgdata.unfinished")
    try:
        if unfinished.exists():
            shutil.rmtree(unfinished)
        done = _fill(paths, config, unfinished, say, run)
        unfinished.rename(paths.pgdata)
        sync_folder(paths.data)
    except OSError as error:
        raise PrepareError(explain(error, paths.pgdata)) from error
    return f"{done} in {paths.pgdata}"


def _fill(paths: SitePaths, config: SiteConfig, unfinished: Path, say: Say, run: Run) -> str:
    """Make the database in a folder; all of it is on the disk afterwards."""
    if config.donors:
        donor = copy_donor(paths, config, unfinished, run, say)
        return f"copy of the database of {donor} made"
    run([*_INITDB, f"--pgdata={unfinished}"])
    return "new database made"
