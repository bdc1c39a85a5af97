"""Sites leave, in order or dead, and the others end equal."""

import asyncio
import signal

import psycopg
import pytest

from multiserver.postgres.connect import connect
from multiserver.replication import leave
from multiserver.replication.links import NotReady
from tests.postgres.lives import Lives
from tests.postgres.mesh import DATABASE, OWNER, Site
from tests.postgres.rounds import facts_of
from tests.postgres.servers import eventually
from tests.postgres.writers import Writers

TRACES = """
select (select count(*) from pg_replication_slots where slot_name ~ '^multiserver_3_')
  + (select count(*) from pg_subscription where subname = 'multiserver_3')
  + (select count(*) from multiserver.links where peer_number = 3)
  + (select count(*) from multiserver.slots where peer_number = 3)
  + (select count(*) from multiserver.heartbeats where server_number = 3)
"""


def close(site: Site) -> bool:
    async def ask() -> bool:
        async with connect(site.target()) as connection:
            return await leave.ensure_closed(connection)

    return asyncio.run(ask())


@pytest.mark.parametrize("killed", [False, True])
def test_a_site_leaves_in_order_and_nothing_it_wrote_is_lost(lives: Lives, writers: Writers, killed: bool) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    with writers.writing():
        writers.wait_for_rows(100)
        assert close(leipzig)
        assert not close(leipzig)
        eventually(lambda: asyncio.run(facts_of(leipzig)).is_drained([1, 2]), "the peers have all of leipzig")
        lives.mesh.sites.remove(leipzig)
        # It is alive and goes on connecting to its slots at the others.
        assert not killed or lives.settle_though_killed() > 5
        lives.settle()
        writers.wait_for_rows(30)
    assert [berlin.admin(TRACES), hamburg.admin(TRACES)] == [[0], [0]]
    writers.assert_nothing_lost_or_doubled()


def test_an_open_site_is_not_drained(lives: Lives) -> None:
    assert not asyncio.run(facts_of(lives.mesh.sites[2])).is_drained([1, 2])


def test_a_closed_site_ends_its_sessions_and_opens_again(lives: Lives) -> None:
    leipzig = lives.mesh.sites[2]
    session = leipzig.server.connect(DATABASE, OWNER)
    session.execute("begin")
    session.execute("insert into visits (site) values (3)")
    close(leipzig)
    with pytest.raises(psycopg.OperationalError):
        session.execute("commit")
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        leipzig.server.connect(DATABASE, OWNER)
    leipzig.admin("select multiserver.open_site()")
    assert leipzig.server.connect(DATABASE, OWNER).execute("select count(*) from visits").fetchone() == (0,)


def test_what_a_dead_site_had_sent_to_one_peer_only_reaches_all(lives: Lives, writers: Writers) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    with writers.writing():
        writers.wait_for_rows(50)
        hamburg.cut(leipzig)
        last = leipzig.sql("insert into visits (site, words) values (3, 'last words') returning id")[0]
        since = leipzig.beat()
        eventually(lambda: berlin.has_beat(leipzig, since), "berlin has it")
        # Nothing that only the dead site has can be expected of the others.
        writers.end_at(leipzig)
        since = leipzig.beat()
        eventually(lambda: berlin.has_beat(leipzig, since), "berlin has all")
        leipzig.server.stop(signal.SIGQUIT)
        lives.mesh.sites.remove(leipzig)
        lives.settle()
        writers.wait_for_rows(30)
    assert hamburg.sql("select id from visits where words = 'last words'") == [last]
    writers.assert_nothing_lost_or_doubled()


def test_a_site_that_stays_connected_to_its_slot_is_waited_for(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiserver.replication import slots

    monkeypatch.setattr(slots, "DROP", "select %(name)s::text")  # ends no connection, so the slot stays in use
    berlin = lives.mesh.sites[0]

    async def forget() -> None:
        async with connect(berlin.target()) as connection:
            await leave.ensure_forgotten(connection, 3)

    with pytest.raises(NotReady, match=r"slot multiserver_3_.* is still in use by site number 3"):
        asyncio.run(forget())


def test_a_pull_does_not_count_while_the_peer_still_receives_from_a_site_that_left(lives: Lives) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    leipzig.server.stop()

    async def forget(site: Site) -> None:
        async with connect(site.target()) as connection:
            await leave.ensure_forgotten(connection, 3)

    def is_in_doubt() -> list[bool]:
        return berlin.admin("select doubted_at is not null from multiserver.links where peer_number = 2")

    lives.mesh.sites.remove(leipzig)
    asyncio.run(forget(berlin))
    asyncio.run(lives.pull(berlin, hamburg))
    assert is_in_doubt() == [True]
    asyncio.run(forget(hamburg))
    asyncio.run(lives.pull(berlin, hamburg))
    assert is_in_doubt() == [False]
