"""The probe of one peer: a kept connection over mutual TLS on which the peer is asked for the time every second.

A cut line is noticed even where packets vanish silently: the kernel gives up on unanswered data, and each question has
a deadline of its own. `PERIOD_SECONDS + ANSWER_SECONDS` bounds how long a cut goes unnoticed.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from multiserver.agent.clock_offset import OffsetWindow, RoundTrip
from multiserver.agent.link import Link
from multiserver.agent.loops import sentence
from multiserver.agent.peer_database import peer_target
from multiserver.api.moments import moment
from multiserver.api.report import LinkState
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.postgres.connect import Certificate
from multiserver.postgres.deadlines import within

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0
ANSWER_SECONDS = 3.0
CONNECT_SECONDS = 4.0
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""How long to wait before each next attempt to connect; the last one stays."""

IDENTITY = "select system_identifier::text from pg_catalog.pg_control_system()"
TIME = "select pg_catalog.clock_timestamp()"

Connection = psycopg.AsyncConnection[tuple[object, ...]]


def conninfo(config: SiteConfig, peer: Member, certificate: Certificate) -> str:
    """Give the connection string to the peer's database; it holds no secret, only where the key is."""
    target = peer_target(config, peer, certificate, "probe")
    return target.conninfo(
        connect_timeout=int(CONNECT_SECONDS),
        tcp_user_timeout=int(ANSWER_SECONDS * 1000),
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
    )


class Probe:
    """Keeps `link` up to date for one peer; `on_change` is told when the line goes up or down."""

    def __init__(self, peer: str, conninfo: str, on_change: Callable[[], None]) -> None:
        self.link = Link()
        self._peer = peer
        self._conninfo = conninfo
        self._on_change = on_change
        self._window = OffsetWindow()
        self._failures = 0

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - whatever one peer does must not end the others' probes
                self._failed(sentence(error))
            pause = PAUSES_SECONDS[min(self._failures, len(PAUSES_SECONDS)) - 1]
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        """Connect and ask again and again until something fails."""
        connection = await self._connect()
        while True:
            await self._ping(connection)
            try:
                await asyncio.sleep(PERIOD_SECONDS)
            except asyncio.CancelledError:
                await connection.close()
                raise

    async def _connect(self) -> Connection:
        try:
            connection, system_id = await within(CONNECT_SECONDS, open_connection(self._conninfo))
        except TimeoutError as error:
            raise TimeoutError(f"no connection within {CONNECT_SECONDS:g} s") from error
        self._window.clear()
        self._link_is(self.link.connected(datetime.now(UTC), system_id))
        return connection

    async def _ping(self, connection: Connection) -> None:
        sent, started = datetime.now(UTC), time.perf_counter()
        remote = await within(ANSWER_SECONDS, ask_time(connection))
        trip = RoundTrip(sent, time.perf_counter() - started, remote)
        self._window.add(trip)
        self._failures = 0
        offset = self._window.offset_seconds
        self._link_is(
            self.link.answered(
                datetime.now(UTC), trip.duration_seconds * 1000, None if offset is None else offset * 1000
            )
        )

    def _failed(self, message: str) -> None:
        self._failures += 1
        self._link_is(self.link.failed(datetime.now(UTC), message))

    def _link_is(self, link: Link) -> None:
        before, self.link = self.link, link
        if link.system_id != before.system_id and before.system_id is not None:
            logger.warning(
                "peer %s answers with system id %s, before it was %s: its data volume is another one",
                *(self._peer, link.system_id, before.system_id),
            )
        if link.state is not before.state:
            self._log(before, link)
            self._on_change()

    def _log(self, before: Link, link: Link) -> None:
        if link.state is LinkState.CONNECTED:
            downtime = f" again; it was cut off since {moment(before.since)}" if before.since else ""
            logger.info("peer %s is connected%s", self._peer, downtime)
        else:
            logger.warning(
                "peer %s is cut off: %s; local work and the line to other peers go on, and what both sites write is "
                "exchanged when the line is back (tried again by itself; look at the line and at the peer's pod)",
                *(self._peer, link.message),
            )


async def open_connection(conninfo: str) -> tuple[Connection, str]:
    """Connect and ask for the peer's system id."""
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    return connection, str(await _answer(connection, IDENTITY))


async def ask_time(connection: Connection) -> datetime:
    """Read the peer's clock."""
    answer = await _answer(connection, TIME)
    assert isinstance(answer, datetime)
    return answer


async def _answer(connection: Connection, question: str) -> object:
    """Give the one value asked for. After a failure the connection is closed: no one knows its state."""
    try:
        row = await (await connection.execute(question.encode())).fetchone()
    except BaseException:
        await connection.close()
        raise
    assert row is not None
    return row[0]
