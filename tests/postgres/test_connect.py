"""A connection raises only errors of our own, whatever becomes of the server, and it is known when one is possible."""

import asyncio
from collections.abc import Callable
from signal import SIGQUIT, SIGTERM

import pytest

from multiserver.postgres.connect import connect
from multiserver.postgres.errors import Unavailable
from multiserver.postgres.ping import refusal
from tests.postgres.mesh import Site
from tests.postgres.servers import Server, eventually


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


def test_it_is_known_whether_a_server_takes_connections(start_servers: Callable[[int], list[Server]]) -> None:
    [server] = start_servers(1)
    target = Site(1, server).target()  # a database that is not there yet

    def told() -> str:
        return asyncio.run(refusal(target))

    assert told() == ""
    with server.connect("postgres", "postgres"):
        assert server.process is not None
        server.process.send_signal(SIGTERM)  # waits for the session to end, and lets no other one in
        eventually(lambda: "being stopped" in told(), "it lets nobody in")
    server.stop()
    assert told() == "the server does not answer within 3 s, or does not run"
