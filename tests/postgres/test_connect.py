"""A connection raises only errors of our own, whatever becomes of the server."""

import asyncio
from collections.abc import Callable
from signal import SIGQUIT

import pytest

from multiserver.postgres.connect import connect
from multiserver.postgres.errors import Unavailable
from tests.postgres.mesh import Site
from tests.postgres.servers import Server


def test_every_statement_after_the_server_has_gone_says_that_it_is_unavailable(
    start_servers: Callable[[int], list[Server]],
) -> None:
    site = Site(1, *start_servers(1))

    async def ask_on() -> None:
        async with connect(site.target("postgres")) as connection:
            site.server.stop(SIGQUIT)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await connection.value("select 1")

    asyncio.run(ask_on())
