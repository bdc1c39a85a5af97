"""What tests of comparing share: to pull, to verify, to lose slots, and writers in the background."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import psycopg

from multiserver.postgres.connect import Connection, connect
from multiserver.replication import pull as pulling
from multiserver.replication import verify as verifying
from multiserver.replication.verify import Verified
from tests.postgres.mesh import DATABASE, Mesh, Site, as_peer
from tests.postgres.rounds import complete_link, renounce_if_rewound
from tests.postgres.servers import eventually


@asynccontextmanager
async def both(site: Site, peer: Site) -> AsyncIterator[tuple[Connection, Connection]]:
    """The connections with which a site compares itself with a peer."""
    async with connect(site.target()) as own, connect(as_peer(peer)) as other:
        yield own, other


def pull(site: Site, peer: Site) -> int:
    async def run() -> int:
        async with both(site, peer) as (own, other):
            return (await pulling.pull(own, other)).rows

    return asyncio.run(run())


def verify(site: Site, peer: Site, patience_seconds: float = 20) -> Verified:
    async def run() -> Verified:
        async with both(site, peer) as (own, other):
            return await verifying.verify(own, other, patience_seconds=patience_seconds)

    return asyncio.run(run())


def mend(mesh: Mesh) -> None:
    """Do once what the agents do for all links: ask whether a site was put back in time, fetch what it lacks."""

    async def run() -> None:
        for site in mesh:
            for peer in mesh.peers(site):
                async with both(site, peer) as (own, other):
                    assert not await renounce_if_rewound(own, other, site.number)
                    await complete_link(own, other, site.number)

    asyncio.run(run())


def lose_slots(mesh: Mesh) -> None:
    """Drop every slot and make it anew, with the subscriptions following: what was not yet received is skipped."""
    for site in mesh:
        for peer in mesh.peers(site):
            free = "select slot_name from multiserver.peer_slots where peer_number = %s and not active"
            [name] = eventually(partial(site.admin, free, [peer.number]), f"the slot for {peer.name} is free")
            site.admin(f"select pg_drop_replication_slot('{name}')")
            site.admin(f"select pg_create_logical_replication_slot('{name}', 'pgoutput')")


@contextmanager
def writing(sites: list[Site], statement: Callable[[Site, int], str]) -> Iterator[None]:
    """Every site writes in the background, one statement after the other."""
    stop = threading.Event()
    failures: list[Exception] = []

    def write(site: Site) -> None:
        try:
            with site.server.connect(DATABASE, "app") as connection:
                turn = 0
                while not stop.wait(0.02):
                    turn += 1
                    try:
                        connection.execute(statement(site, turn).encode())
                    except psycopg.errors.UniqueViolation:
                        continue
        except psycopg.Error as error:
            failures.append(error)

    def beat() -> None:
        while not stop.wait(0.3):
            for site in sites:
                with site.server.connect(DATABASE, "postgres") as connection:
                    connection.execute("select multiserver.beat()")

    threads = [threading.Thread(target=write, args=[site]) for site in sites] + [threading.Thread(target=beat)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
