"""The agent put together: which duty runs how often, and how the whole starts and ends."""

import asyncio
import logging
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry

from multiserver.agent import duties, looking
from multiserver.agent.backups import BackupRuns
from multiserver.agent.closing_gaps import CloseGaps
from multiserver.agent.comparing import Surroundings
from multiserver.agent.configuration import Configuration
from multiserver.agent.http_api import PeerApi, ProbeApi
from multiserver.agent.last_runs import LastRuns
from multiserver.agent.local_database import STATEMENT_SECONDS, LocalDatabase, local_target
from multiserver.agent.loops import Duty, Loop, Loops
from multiserver.agent.metrics import ReportCollector
from multiserver.agent.on_change import OnChange
from multiserver.agent.probes import Probes
from multiserver.agent.report import assemble
from multiserver.agent.rewinding import WatchForRewinding
from multiserver.agent.seen import Sightings
from multiserver.agent.serving import HttpService, listen
from multiserver.agent.settings import AgentSettings
from multiserver.agent.tls import server_context
from multiserver.agent.verifying import Verify
from multiserver.api.report import SiteReport
from multiserver.api.siteconfig import SiteConfig
from multiserver.backup.pgbackrest import PgBackRest
from multiserver.backup.restic import Restic
from multiserver.files.client import Syncthing
from multiserver.files.config import FilesConfig, desired
from multiserver.postgres.deadlines import all_ended
from multiserver.postgres.ping import refusal
from multiserver.settings import SitePaths

logger = logging.getLogger(__name__)

REFRESHING_SECONDS = 3600.0
"""How long it may take to refresh a materialized view."""
SENDING_SECONDS = 900.0
"""How long it may take to send the rows that a table had before it was replicated."""
COMPARING_SECONDS = 24 * 3600.0
"""How long it may take to compare all rows with all peers; single statements have deadlines of their own."""
ENDING_SECONDS = 20.0
"""How long work that was given up may take to end when the agent does."""

SEE_POSTGRES = "see the log of the container postgres"
SEE_SYNCTHING = "see the log of the container syncthing"
SEE_MOUNTS = "see the site's ConfigMap and Secrets"
SEE_VOLUMES = "see the site's volumes"


class Agent:
    """One site's agent. Making it reads the configuration and opens the ports; `run` does the work."""

    def __init__(self, settings: AgentSettings) -> None:
        """Raises ConfigurationError, or OSError where a certificate cannot be read or a port is taken."""
        self._settings = settings
        self._seen = Sightings()
        self._configuration = Configuration(settings.paths.site_config, self._members_changed)
        self._probes = Probes(settings.certificate, self._publish_now)
        self._syncthing = Syncthing(settings.paths.syncthing_socket, read_api_key(settings.paths))
        self._pgbackrest = PgBackRest(settings.paths, settings.programs)
        self._restic = Restic(self.config.site, settings.paths, settings.programs)
        self._backups = BackupRuns(
            {"data": self._pgbackrest.back_up, "files": self._restic.back_up},
            on_end=self._look_at_backups,
            kept=LastRuns(settings.paths.last_backups),
        )
        self._databases: list[LocalDatabase] = []
        self._verify = Verify(self._surroundings("verifying"), self._seen, self._publish_now)
        self._rewinding = WatchForRewinding(
            self._database("rewinding"),
            lambda: self.config,
            lambda: self._probes.links,
            settings.certificate,
            settings.paths.rewound,
        )
        self.loops = Loops(tuple(Loop(duty) for duty in self._duties()))
        self._registry = CollectorRegistry()
        self._registry.register(ReportCollector(self.report, self.loops))
        self._api = self._open_api()
        self._probe_api = self._open_probe_api()

    @property
    def config(self) -> SiteConfig:
        """What the site is told at this moment."""
        return self._configuration.current

    @property
    def api_port(self) -> int:
        """The port of the API over mutual TLS."""
        return self._api.port

    @property
    def probe_port(self) -> int:
        """The port of health and metrics."""
        return self._probe_api.port

    def report(self) -> SiteReport:
        """Give the site's report of this moment."""
        return assemble(self.config, self._seen, self._probes.links, datetime.now(UTC))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises an exception group if a part of the agent itself breaks."""
        logger.info("agent of site %s starts", self.config.site)
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(loop.run(), name=loop.duty.name) for loop in self.loops]
                api = group.create_task(self._api.run(), name="API")
                group.create_task(self._probe_api.run(), name="health and metrics")
                self._probes.follow(self.config)
                await stop.wait()
                logger.info("agent of site %s is told to end", self.config.site)
                self._api.stop()
                self._probe_api.stop()
                await api  # Until it has ended it may begin another backup.
                await self._backups.stop()
                for loop in loops:
                    loop.cancel()
        finally:
            await self._close()
        logger.info("agent of site %s has ended", self.config.site)

    def _duties(self) -> tuple[Duty, ...]:
        return (*self._looking(), *self._keeping(), *self._comparing(), *self._following())

    def _comparing(self) -> tuple[Duty, ...]:
        """Give the duties that compare the site with its peers; a turn of them may read all rows."""
        return (
            Duty("closing gaps", CloseGaps(self._surroundings("closing gaps")), 2, COMPARING_SECONDS, SEE_POSTGRES),
            Duty("verifying", self._verify, 30, COMPARING_SECONDS, SEE_POSTGRES),
        )

    def _looking(self) -> tuple[Duty, ...]:
        """Give the duties that ask the parts of the site how they are."""
        seen, paths = self._seen, self._settings.paths
        database = looking.LookAtDatabase(self._database("database"), paths.repository, seen)
        files = looking.LookAtFiles(self._syncthing, lambda: self.config, seen)
        backups = looking.LookAtBackups(self._pgbackrest, self._restic, self._backups, seen)
        return (
            Duty("database", database, 2, 15, SEE_POSTGRES),
            Duty("files", files, 5, 15, SEE_SYNCTHING),
            Duty("backups", backups, 60, 300, SEE_VOLUMES),
            Duty("machine", looking.LookAtMachine(paths, seen), 30, 20, SEE_VOLUMES),
        )

    def _keeping(self) -> tuple[Duty, ...]:
        """Give the duties that keep the site going."""
        beat = duties.Beat(self._database("heartbeat", SENDING_SECONDS))
        views = duties.RefreshViews(self._database("refreshing", REFRESHING_SECONDS))
        password = duties.KeepPassword(self._database("password"), lambda: self.config, self._settings.password)
        archiver = self._database("repository")
        repository = duties.MakeRepository(archiver, self._pgbackrest, self._seen, self._look_at_backups)
        files = duties.KeepFilesConfig(self._syncthing, self._wanted_files, self._seen)
        dialling = duties.DialPeers(self._syncthing, lambda: self.config, lambda: self._probes.links)
        return (
            Duty("rewinding", self._rewinding, 1, 60, SEE_POSTGRES),
            # A beat is one small event to every peer; on the slowest line it must not be felt.
            Duty("heartbeat", beat, 2, SENDING_SECONDS + 10, SEE_POSTGRES),
            Duty("purging", duties.PurgeJournal(self._database("purging")), 10, 15, SEE_POSTGRES),
            Duty("collecting", duties.KeepEngineSmall(self._database("collecting"), self._seen), 10, 15, SEE_POSTGRES),
            Duty("refreshing", views, 5, COMPARING_SECONDS, SEE_POSTGRES),
            Duty("report", duties.PublishReport(self._database("report"), self.report), 10, 15, SEE_POSTGRES),
            Duty("password", password, 5, 15, SEE_MOUNTS),
            Duty("repository", repository, 10, 300, SEE_VOLUMES),
            Duty("files configuration", files, 10, 30, SEE_SYNCTHING),
            Duty("dialling", dialling, 2, 30, SEE_SYNCTHING),
        )

    def _following(self) -> tuple[Duty, ...]:
        """Give the duties that take new configuration into use."""
        settings = self._settings
        site = OnChange([settings.paths.site_config], self._configuration.reload, applied=True)
        certificates = OnChange(settings.certificate_files, self._reload_certificates, applied=True)
        server = OnChange(settings.server_files, duties.ReloadServer(self._database("server configuration")))
        return (
            Duty("site configuration", site, 2, 5, SEE_MOUNTS),
            Duty("certificates", certificates, 2, 5, SEE_MOUNTS),
            Duty("server configuration", server, 2, 15, SEE_MOUNTS),
        )

    def _database(self, duty: str, statement_seconds: float = STATEMENT_SECONDS) -> LocalDatabase:
        """Give a duty its own connection."""
        database = LocalDatabase(local_target(self.config, self._settings, duty), statement_seconds)
        self._databases.append(database)
        return database

    def _surroundings(self, duty: str) -> Surroundings:
        own = local_target(self.config, self._settings, duty)
        return Surroundings(self._database(duty), own, lambda: self.config, self._settings.certificate)

    def _wanted_files(self) -> FilesConfig:
        return desired(self.config, self._settings.paths.folders, self._settings.files_listen)

    def _open_api(self) -> HttpService:
        app = PeerApi(self.config.site, self.report, self._backups, self._verify_now).app()
        context = server_context(self._settings.certificate)
        return HttpService(app, listen(self._settings.host, self._settings.api_port), context)

    def _open_probe_api(self) -> HttpService:
        server = local_target(self.config, self._settings, "readiness")
        app = ProbeApi(self.loops, self._registry, partial(refusal, server), lambda: self._rewinding.waits_for).app()
        return HttpService(app, listen(self._settings.host, self._settings.probe_port))

    def _members_changed(self, config: SiteConfig) -> None:
        self._probes.follow(config)
        self.loops["files configuration"].wake()

    def _verify_now(self) -> None:
        self._verify.ask()
        self.loops["verifying"].wake()

    def _publish_now(self) -> None:
        self.loops["report"].wake()

    def _look_at_backups(self) -> None:
        self.loops["backups"].wake()

    async def _reload_certificates(self) -> None:
        self._api.reload(server_context(self._settings.certificate))
        logger.info("the API uses the new certificates")

    async def _close(self) -> None:
        await self._probes.stop()
        await all_ended(ENDING_SECONDS)
        await self._syncthing.close()
        for database in self._databases:
            await database.close()


def read_api_key(paths: SitePaths) -> str:
    """Read the key of Syncthing's interface; without it Syncthing refuses to answer, and all else goes on."""
    try:
        return paths.syncthing_api_key.read_text().strip()
    except OSError as error:
        logger.warning(
            "%s cannot be read (%s): it is made when the pod starts", paths.syncthing_api_key, error.strerror
        )
        return ""
