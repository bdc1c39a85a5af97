"""A site joins, or comes back without its volume, while every site writes: nothing is lost, nothing doubled."""

import asyncio

from multiserver.postgres.connect import connect
from tests.postgres.lives import Lives
from tests.postgres.mesh import Site
from tests.postgres.rounds import keep_for_peers
from tests.postgres.servers import eventually
from tests.postgres.writers import Writers

BLOCK = (2**53 - 1) // 64
"""How many numbers of a bigint sequence a site has."""


def test_a_fourth_site_joins_while_all_write(lives: Lives, writers: Writers) -> None:
    with writers.writing():
        writers.wait_for_rows(100)
        dresden = lives.join(4, lives.mesh.sites[1], writers.folder / "dresden")
        assert dresden.admin("select rolcanlogin from pg_roles where rolname = 'app'") == [False]
        lives.settle()
        writers.begin_at(dresden)
        writers.wait_for_rows(300)
    writers.assert_nothing_lost_or_doubled()


def test_a_join_may_be_killed_before_any_statement(lives: Lives, writers: Writers) -> None:
    with writers.writing():
        dresden = lives.join(4, lives.mesh.sites[0], writers.folder / "dresden")
        assert lives.settle_though_killed() > 10
        writers.begin_at(dresden)
        writers.wait_for_rows(100)
    writers.assert_nothing_lost_or_doubled()


def test_a_new_site_begins_its_numbers_at_the_beginning_of_its_block(lives: Lives, writers: Writers) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    berlin.sql("insert into visits (site) select 1 from generate_series(1, 50)")
    hamburg.sql("insert into visits (site) values (2)")
    dresden = lives.join(4, hamburg, writers.folder / "dresden")
    lives.settle()
    first = dresden.sql("insert into visits (site) values (4) returning id")[0]
    assert first == 3 * BLOCK + 1


def test_a_lost_volume_is_filled_again_and_what_only_one_peer_had_reaches_all(lives: Lives, writers: Writers) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    with writers.writing():
        writers.wait_for_rows(50)
        # What leipzig writes now reaches berlin only, and is all that is left of it.
        hamburg.cut(leipzig)
        kept = leipzig.sql("insert into visits (site, words) values (3, 'last words') returning id")[0]
        writers.end_at(leipzig)
        since = leipzig.beat()
        writers.wait_until(lambda: berlin.has_beat(leipzig, since), "berlin has all of leipzig")
        leipzig.server.stop()
        leipzig.fill_from(hamburg)
        lives.settle()
        again = leipzig.sql("insert into visits (site) values (3) returning id")[0]
        assert again > kept
        writers.begin_at(leipzig)
        writers.wait_for_rows(50)
    writers.assert_nothing_lost_or_doubled()
    assert all(site.sql("select id from visits where words = 'last words'") == [kept] for site in lives.mesh)


def test_a_peer_that_still_follows_the_lost_volume_cannot_confirm_what_the_new_one_will_write(lives: Lives) -> None:
    _, hamburg, leipzig = lives.mesh.sites
    for _ in range(10):
        leipzig.beat()
        leipzig.admin("select pg_switch_wal()")  # so that its peers know positions far ahead of its donor's log
    lives.mesh.drain()
    leipzig.server.stop()
    leipzig.fill_from(hamburg)
    asyncio.run(make_slots(leipzig, lives))
    ahead = "select 1 from pg_replication_slots where confirmed_flush_lsn > pg_current_wal_lsn()"
    refused = 'replication slot "multiserver_2'
    eventually(lambda: refused in hamburg.server.last_words() or leipzig.admin(ahead), "hamburg has tried to go on")
    assert leipzig.admin(ahead) == []
    lives.settle()
    leipzig.sql("insert into visits (site, words) values (3, 'after the loss')")
    assert "after the loss" in lives.mesh.equal("select words from visits")


async def make_slots(site: Site, lives: Lives) -> None:
    async with connect(site.target()) as connection:
        await keep_for_peers(connection, site.number, {member.number: member.name for member in lives.mesh})


def test_the_schema_site_goes_on_changing_the_schema_once_its_lost_volume_is_filled(
    lives: Lives, writers: Writers
) -> None:
    berlin, hamburg, leipzig = lives.mesh.sites
    berlin.sql("create table patients (id bigserial primary key, shoe_size integer, name text)")
    berlin.sql("alter table patients drop column shoe_size, add column city text default 'Berlin'")
    lives.mesh.drain()
    hamburg.sql("insert into patients (name) values ('Anna')")
    lives.mesh.drain()
    version = hamburg.admin("select version from multiserver.schema_state")
    berlin.server.stop()
    berlin.fill_from(leipzig)
    lives.settle()
    assert lives.mesh.equal("select name, city from patients") == [("Anna", "Berlin")]
    assert hamburg.admin("select version from multiserver.schema_state") == version, "a refilled site changes nothing"
    berlin.sql("alter table patients rename column city to town")
    berlin.sql("alter table patients add column phone text")
    berlin.sql("create index on patients (name)")
    lives.mesh.drain()
    leipzig.sql("update patients set phone = '030'")
    assert lives.mesh.equal("select name, town, phone from patients") == [("Anna", "Berlin", "030")]
    lives.mesh.assert_registers_equal()


def test_the_copy_of_a_copy_has_its_own_numbers_too(lives: Lives, writers: Writers) -> None:
    leipzig = lives.mesh.sites[2]
    dresden = lives.join(4, leipzig, writers.folder / "dresden")
    lives.settle()
    leipzig.server.stop()
    leipzig.fill_from(dresden)  # from a higher block back to a lower one
    lives.settle()
    assert leipzig.sql("insert into visits (site) values (3) returning id")[0] // BLOCK == 2
    assert dresden.sql("insert into visits (site) values (4) returning id")[0] // BLOCK == 3


def test_a_new_site_begins_without_its_donors_rows_in_local_tables(lives: Lives, writers: Writers) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    for site in lives.mesh:
        site.admin("select multiserver.declare_local_tables('{public.sessions}')")
    berlin.sql("create table sessions (id integer primary key, visit bigint references visits on delete cascade)")
    lives.mesh.drain()
    hamburg.sql("insert into sessions values (1, null)")
    dresden = lives.join(4, hamburg, writers.folder / "dresden")
    assert dresden.admin("select count(*) from sessions") == [0]
    assert hamburg.sql("select count(*) from sessions") == [1]
