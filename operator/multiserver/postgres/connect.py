"""Connections to PostgreSQL: over the network with a certificate, or through the local socket."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row, tuple_row

from multiserver.postgres.errors import DeadlineExceeded, translate

Statement = str | sql.SQL | sql.Composed
Parameters = Mapping[str, Any] | Sequence[Any]

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 30
LOST_LINE = {"tcp_user_timeout": 15_000, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
"""A line that swallows packets is noticed within 20 seconds, however long a statement may take."""

OWN_SETTINGS = r"-c default_transaction_isolation=read\ committed -c default_transaction_read_only=off -c datestyle=ISO"


@dataclass(frozen=True)
class Certificate:
    """Files that prove who we are and whom we trust."""

    certificate: PurePath
    key: PurePath
    trust: PurePath


@dataclass(frozen=True)
class Target:
    """A database and the role to enter it with. A host that begins with / is the folder of a local socket."""

    host: str
    database: str
    user: str = "postgres"
    port: int = 5432
    certificate: Certificate | None = None
    application_name: str = "multiserver"

    @property
    def where(self) -> str:
        """The database in words, for messages."""
        return f"database {self.database} at {self.host}:{self.port}"

    def conninfo(self, **options: str | int) -> str:
        """Return libpq's connection string; it holds no secret."""
        whole: dict[str, Any] = {"host": self.host, "port": self.port, "dbname": self.database, "user": self.user}
        whole |= {"application_name": self.application_name, **self._tls(), **options}
        return make_conninfo(**whole)

    def _tls(self) -> dict[str, str]:
        if self.certificate is None:
            return {}
        return {
            "sslmode": "verify-full",
            "sslcert": str(self.certificate.certificate),
            "sslkey": str(self.certificate.key),
            "sslrootcert": str(self.certificate.trust),
        }


class Connection:
    """An open connection in autocommit; every call has a deadline and raises only DatabaseError."""

    def __init__(self, raw: psycopg.AsyncConnection[Any], where: str, timeout_seconds: float) -> None:
        self._raw = raw
        self._timeout_seconds = timeout_seconds
        self.where = where

    async def execute(self, statement: Statement, parameters: Parameters | None = None) -> int:
        """Run a statement; return the number of rows it concerned."""
        return (await self._run(statement, parameters)).rowcount

    async def rows(self, statement: Statement, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Run a query; return its rows by column name."""
        cursor = await self._run(statement, parameters)
        with _translated(self.where):
            async with _deadline(self._timeout_seconds, self.where):
                return await cursor.fetchall()

    async def tuples(self, statement: Statement, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Run a query; return its rows as tuples, for many rows."""
        cursor = await self._run(statement, parameters)
        cursor.row_factory = tuple_row  # type: ignore[assignment]
        with _translated(self.where):
            async with _deadline(self._timeout_seconds, self.where):
                return cast(list[tuple[Any, ...]], await cursor.fetchall())

    async def value(self, statement: Statement, parameters: Parameters | None = None) -> Any:
        """Run a query; return the first column of its first row, None if there is no row."""
        found = await self.rows(statement, parameters)
        return next(iter(found[0].values())) if found else None

    async def run_script(self, script: str) -> None:
        """Run a text of several statements."""
        with _translated(self.where):
            async with _deadline(self._timeout_seconds, self.where):
                await self._raw.execute(script.encode())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Keep all or nothing of what is done inside."""
        with _translated(self.where):
            async with self._raw.transaction():
                yield

    async def _run(self, statement: Statement, parameters: Parameters | None) -> psycopg.AsyncCursor[dict[str, Any]]:
        query = statement.encode() if isinstance(statement, str) else statement
        with _translated(self.where):
            cursor = self._raw.cursor(row_factory=dict_row)  # refused once the connection is known to be lost
            async with _deadline(self._timeout_seconds, self.where):
                return await cursor.execute(query, parameters)


@asynccontextmanager
async def connect(
    target: Target,
    *,
    connect_timeout_seconds: int = CONNECT_TIMEOUT_SECONDS,
    statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
) -> AsyncIterator[Connection]:
    """Open a connection and close it at the end.

    The server is told to give a statement up after `statement_timeout_seconds`; we wait a little longer, in case it
    cannot answer at all. What the application has set for its database does not concern us.
    """
    lost = {} if target.host.startswith("/") else LOST_LINE
    options = f"-c statement_timeout={int(statement_timeout_seconds * 1000)} {OWN_SETTINGS}"
    conninfo = target.conninfo(connect_timeout=connect_timeout_seconds, options=options, **lost)
    with _translated(target.where):
        async with _deadline(connect_timeout_seconds + 1, target.where):
            raw = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    try:
        yield Connection(raw, target.where, statement_timeout_seconds + 2)
    finally:
        await raw.close()


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, where) from error


@asynccontextmanager
async def _deadline(seconds: float, where: str) -> AsyncIterator[None]:
    """Give up after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(f"{where}: no answer within {seconds:g} s") from error
