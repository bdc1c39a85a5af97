"""A kept connection to the site's own database through its socket, as administrator."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from multiserver.agent.loops import NotYetError
from multiserver.agent.settings import AgentSettings
from multiserver.api.siteconfig import SiteConfig
from multiserver.postgres.connect import Connection, Target, connect
from multiserver.postgres.errors import AccessRefused, Unavailable

STATEMENT_SECONDS = 10.0

INSTALLED = "select pg_catalog.to_regclass('multiserver.migrations')"


def local_target(config: SiteConfig, settings: AgentSettings, duty: str) -> Target:
    """Give the site's own database; the server shows in pg_stat_activity which duty is connected."""
    return Target(
        host=str(settings.paths.run),
        port=settings.postgres_port,
        database=config.database,
        application_name=f"multiserver agent: {duty}",
    )


class LocalDatabase:
    """One connection for one duty, opened when it is first needed and again after any failure.

    Each duty has its own, so that a slow one does not hold up the others.
    """

    def __init__(self, target: Target, statement_seconds: float = STATEMENT_SECONDS) -> None:
        self._target = target
        self._statement_seconds = statement_seconds
        self._open = AsyncExitStack()
        self._connection: Connection | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend the connection. Raises DatabaseError."""
        if self._connection is None:
            self._connection = await self._open.enter_async_context(
                connect(self._target, statement_timeout_seconds=self._statement_seconds)
            )
        try:
            yield self._connection
        except BaseException:
            await self.close()  # What the server is still doing on it is not known.
            raise

    async def close(self) -> None:
        """Close the connection; the next use opens another."""
        self._connection = None
        await self._open.aclose()


@asynccontextmanager
async def answering(database: LocalDatabase) -> AsyncIterator[Connection]:
    """Lend a connection. Raises DatabaseError, or NotYetError while the server lets no one in.

    The duty that looks at the database tells that in the log, once for all duties.
    """
    try:
        async with database.connection() as connection:
            yield connection
    except (Unavailable, AccessRefused) as error:
        raise NotYetError(str(error)) from error


@asynccontextmanager
async def engine(database: LocalDatabase) -> AsyncIterator[Connection]:
    """Lend a connection to a duty that needs the replication engine. Raises DatabaseError or NotYetError.

    A new site's database has no engine yet. It is installed as a whole, so if a part is missing later that is a fault.
    """
    async with answering(database) as connection:
        if await connection.value(INSTALLED) is None:
            raise NotYetError("the replication engine is not installed yet")
        yield connection
