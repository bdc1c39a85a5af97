"""The duties that keep a site going without the operator."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from psycopg.types.json import Jsonb

from multiserver.agent.link import Link
from multiserver.agent.local_database import LocalDatabase, answering, engine
from multiserver.agent.loops import NotYetError
from multiserver.agent.password import ensure_password
from multiserver.agent.seen import Seen, Sightings
from multiserver.api.report import LinkState, SiteReport
from multiserver.api.siteconfig import SiteConfig
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.files.client import Syncthing
from multiserver.files.config import FilesConfig
from multiserver.files.reconcile import reconcile, redial
from multiserver.replication.keeping import keep_small

logger = logging.getLogger(__name__)

OF_THIS_SITE = "from multiserver.site_settings"
"""A site that was not told its number yet has no row there, and so nothing to send."""

WAKE_ARCHIVER = """\
select pg_catalog.pg_switch_wal() from pg_catalog.pg_stat_archiver
where last_failed_time > coalesce(last_archived_time, '-infinity')"""
"""After failures PostgreSQL tries to archive only once a minute, unless there is a new segment."""


class Beat:
    """Sends a heartbeat to all peers, in the same stream as the rows, so that they know how old their copy is.

    With it go the rows of tables that had rows before they were replicated, which may take long.
    """

    def __init__(self, database: LocalDatabase) -> None:
        self._database = database

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError."""
        async with engine(self._database) as connection:
            await connection.execute(f"select multiserver.beat() {OF_THIS_SITE}")


class PurgeJournal:
    """Forgets events that every slot holds in the write-ahead log anyway."""

    def __init__(self, database: LocalDatabase) -> None:
        self._database = database

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError. While transactions write, nothing is purged; the next turn may."""
        async with engine(self._database) as connection:
            await connection.execute("select multiserver.purge_journal()")


class KeepEngineSmall:
    """Forgets old entries of the conflict log and register rows that no site needs any more, a part at each turn."""

    def __init__(self, database: LocalDatabase, seen: Sightings) -> None:
        self._database = database
        self._seen = seen

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError."""
        async with engine(self._database) as connection:
            self._seen.engine = Seen(datetime.now(UTC), await keep_small(connection))


class RefreshViews:
    """Refreshes the materialized views that a peer has refreshed, one after the other."""

    def __init__(self, database: LocalDatabase) -> None:
        self._database = database

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError. A view that cannot be refreshed is told in the log and tried later."""
        async with engine(self._database) as connection:
            while True:
                [(view, error)] = await connection.tuples("select * from multiserver.refresh_next_view()")
                if view is None:
                    return
                if error:
                    logger.warning("materialized view %s cannot be refreshed: %s; again in a minute", view, error)
                else:
                    logger.info("materialized view %s is refreshed, as at a peer", view)


class PublishReport:
    """Sends the site's report to all sites, so that each of them can show the whole."""

    def __init__(self, database: LocalDatabase, report: Callable[[], SiteReport]) -> None:
        self._database = database
        self._report = report

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError."""
        document = Jsonb(self._report().wire())
        async with engine(self._database) as connection:
            await connection.execute(f"select multiserver.publish_report(%s) {OF_THIS_SITE}", [document])


class KeepPassword:
    """Gives the application's role the password that stands in the mounted Secret."""

    def __init__(self, database: LocalDatabase, config: Callable[[], SiteConfig], password: Path) -> None:
        self._database = database
        self._config = config
        self._password = password

    async def __call__(self) -> None:
        """Raises DatabaseError, NotYetError, or OSError if the Secret is not mounted."""
        password = self._password.read_text()
        async with answering(self._database) as connection:
            await ensure_password(connection, self._config().owner, password)


class ReloadServer:
    """Tells PostgreSQL to read its files again, so that new members are trusted without a restart."""

    def __init__(self, database: LocalDatabase) -> None:
        self._database = database

    async def __call__(self) -> None:
        """Raises DatabaseError or NotYetError."""
        async with answering(self._database) as connection:
            await connection.execute("select pg_catalog.pg_reload_conf()")
        logger.info("PostgreSQL was told to read its configuration and certificates again")


class MakeRepository:
    """Makes the data's repository ready once the database runs, so that its log is archived from the beginning."""

    def __init__(
        self, database: LocalDatabase, pgbackrest: PgBackRest, seen: Sightings, on_made: Callable[[], None]
    ) -> None:
        self._database = database
        self._pgbackrest = pgbackrest
        self._seen = seen
        self._on_made = on_made
        self._is_made = False

    async def __call__(self) -> None:
        """Raises BackupError, DatabaseError, or NotYetError while the database does not answer."""
        if self._is_made:
            return
        database = self._seen.database.value if self._seen.database else None
        if database is None:
            raise NotYetError("the database does not answer yet")
        await self._pgbackrest.ensure_stanza()
        async with answering(self._database) as connection:
            await connection.execute(WAKE_ARCHIVER)
        self._is_made = True
        self._on_made()


class KeepFilesConfig:
    """Makes Syncthing what `site.json` says: peers that joined or left, folders that were added."""

    def __init__(self, syncthing: Syncthing, wanted: Callable[[], FilesConfig], seen: Sightings) -> None:
        self._syncthing = syncthing
        self._wanted = wanted
        self._seen = seen

    async def __call__(self) -> None:
        """Raises SyncthingError, or NotYetError while Syncthing does not answer: the duty that looks says so."""
        health = self._seen.files.value if self._seen.files else None
        if health is None or not health.report.available:
            raise NotYetError("Syncthing does not answer yet")
        for change in await reconcile(self._syncthing, self._wanted()):
            logger.info("Syncthing: %s", change)


class DialPeers:
    """Has Syncthing dial a peer whose line is back: its old connection may be dead for minutes without its knowing."""

    def __init__(
        self, syncthing: Syncthing, config: Callable[[], SiteConfig], links: Callable[[], Mapping[str, Link]]
    ) -> None:
        self._syncthing = syncthing
        self._config = config
        self._links = links
        self._cut_off: set[str] = set()

    async def __call__(self) -> None:
        """Raises SyncthingError; then the next turn dials."""
        links = self._links()
        states = {peer: links[peer.name].state for peer in self._config().peers if peer.name in links}
        self._cut_off |= {peer.name for peer, state in states.items() if state is LinkState.CUT_OFF}
        for peer, state in states.items():
            if state is LinkState.CONNECTED and peer.name in self._cut_off:
                await redial(self._syncthing, peer.syncthing_device_id)
                self._cut_off.discard(peer.name)
