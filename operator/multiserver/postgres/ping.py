"""Whether a server takes connections, asked without entering it, as pg_isready does."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from psycopg.pq import PGconn, Ping

from multiserver.postgres.connect import Target

PING_SECONDS = 3
"""libpq's deadline for an answer."""

_REFUSALS = {
    Ping.REJECT: "the server lets nobody in: it is starting, recovering or being stopped",
    Ping.NO_RESPONSE: f"the server does not answer within {PING_SECONDS} s, or does not run",
    Ping.NO_ATTEMPT: "the server could not be asked, for libpq does not understand how it is reached",
}
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="ping")


async def refusal(target: Target) -> str:
    """Say why a server takes no connections; empty if it does, even if it would refuse this role or database.

    Waits at most PING_SECONDS, and longer only behind another question of this process.
    """
    conninfo = target.conninfo(connect_timeout=PING_SECONDS).encode()
    answer = await asyncio.get_running_loop().run_in_executor(_THREAD, PGconn.ping, conninfo)
    return _REFUSALS.get(Ping(answer), "")
