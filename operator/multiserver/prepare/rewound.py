"""A site that was put back in time: before its server starts again, its log begins anew.

The log that it has written since then bears the names of one that the site's repository of backups has already, so none
of it could be archived. Under another system identifier the repository goes on, as after a lost volume, and the backups
from before stay in it.

The agent finds out that the site was put back, closes it and leaves the file `rewound` on the volume; the operator has
the pod restarted. A kill at any of these steps is made good by the next run:
  1. a server of one session recovers the database and drops the slots, whose positions lie in the log that goes;
  2. the new identifier is noted in the file, so that all runs that follow take this one;
  3. the control file gets it, and a log begins under it;
  4. the file goes.
"""

from multiserver.api import paths as pod
from multiserver.api.siteconfig import SiteConfig
from multiserver.machine.atomic import sync_folder
from multiserver.machine.volumes import explain
from multiserver.prepare.atomic import write_if_different
from multiserver.prepare.control_file import new_identifier
from multiserver.prepare.errors import PrepareError
from multiserver.prepare.new_log import begin_new_log, run_single_user
from multiserver.prepare.programs import Run
from multiserver.settings import SitePaths

DROP_SLOTS = """\
delete from multiserver.slots;
select pg_drop_replication_slot(slot_name) from pg_replication_slots;
"""


def begin_anew_if_rewound(paths: SitePaths, config: SiteConfig, run: Run) -> bool:
    """Begin a new log if the database was found to be put back in time; tell whether it was. Raises PrepareError."""
    try:
        noted = paths.rewound.read_text().strip()
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise PrepareError(f"{paths.rewound} cannot be read ({error}): repair the volume") from error
    try:
        begin_new_log(paths.pgdata, int(noted) if noted.isdecimal() else _shut_down(paths, config, run), run)
        paths.rewound.unlink()
        sync_folder(paths.data)
    except OSError as error:
        raise PrepareError(explain(error, paths.pgdata)) from error
    return True


def _shut_down(paths: SitePaths, config: SiteConfig, run: Run) -> int:
    """Have the database ready for a new log; give the identifier for it, which is noted."""
    run_single_user(paths.pgdata, paths.at(pod.POSTGRES_CONFIG), config.database, DROP_SLOTS, run)
    identifier = new_identifier()
    write_if_different(paths.rewound, f"{identifier}\n".encode())
    return identifier
