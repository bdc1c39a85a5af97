"""A cluster of one site pays nothing for replication, and grows without a pause."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.postgres import killer
from tests.postgres.mesh import Site, install_engine
from tests.postgres.servers import Server

TRIGGERS = "select count(*) from pg_trigger where tgname like 'multiserver\\_%%' and tgrelid = %s::regclass"
EVENTS = "select kind, content from multiserver.journal where table_id > 0 order by version"


def configure(site: Site, names: str) -> None:
    site.admin("select multiserver.configure_site(1, 1, %s)", [names])


@pytest.fixture
def alone(start_servers: Callable[[int], list[Server]]) -> Site:
    site = Site(1, start_servers(1)[0])
    asyncio.run(install_engine(site))
    configure(site, '{"1": "berlin"}')
    site.admin("select multiserver.open_site()")
    site.sql("create table visits (id integer primary key, note text)")
    site.sql("create table log (line text)")
    return site


def triggers(site: Site) -> list[Any]:
    return site.admin(TRIGGERS, ["visits"]) + site.admin(TRIGGERS, ["log"])


def test_one_site_has_no_triggers_and_sends_nothing(alone: Site) -> None:
    alone.sql("insert into visits values (1, 'a')")
    alone.sql("create table late as select 1 as id")
    alone.sql("alter table late add primary key (id)")
    alone.sql("insert into log values ('a')")
    alone.sql("delete from log")
    alone.admin("select multiserver.beat()")
    assert triggers(alone) == [0, 0]
    assert alone.admin("select kind from multiserver.journal where kind <> 'S'") == []
    assert alone.admin("select count(*) from multiserver.versions()") == [0]


def test_a_second_site_starts_capture_and_what_was_there_has_no_version(alone: Site) -> None:
    alone.sql("insert into visits values (1, 'before')")
    configure(alone, '{"1": "berlin", "2": "hamburg"}')
    assert triggers(alone) == [4, 3]
    alone.admin("select multiserver.beat()")
    assert alone.admin(EVENTS) == []
    alone.sql("update visits set note = 'after'")
    alone.sql("insert into log values ('after')")
    assert [kind for kind, _ in alone.admin(EVENTS)] == ["U", "A"]
    assert alone.admin("select count(*) from multiserver.versions() where base is null") == [1]


def test_a_transaction_under_way_holds_up_the_start_of_capture_and_not_the_reverse(alone: Site) -> None:
    writer = alone.server.connect("app", "app")
    with writer.transaction():
        writer.execute("insert into visits values (1, 'open')")
        with pytest.raises(Exception, match="lock timeout"):
            configure(alone, '{"1": "berlin", "2": "hamburg"}')
        writer.execute("insert into log values ('still writing')")
    writer.close()
    assert triggers(alone) == [0, 0]
    configure(alone, '{"1": "berlin", "2": "hamburg"}')
    assert triggers(alone) == [4, 3]


def test_capture_ends_when_the_last_link_is_gone(alone: Site) -> None:
    configure(alone, '{"1": "berlin", "2": "hamburg"}')
    alone.admin("insert into multiserver.slots (peer_number, from_start) values (2, false)")
    alone.sql("insert into visits values (1, 'a')")
    configure(alone, '{"1": "berlin"}')
    assert triggers(alone) == [4, 3], "hamburg's last changes may still come"
    alone.admin("select multiserver.forget_site(2)")
    assert triggers(alone) == [0, 0]
    assert alone.admin("select count(*) from multiserver.versions()") == [0]
    alone.sql("update visits set note = 'b'")
    configure(alone, '{"1": "berlin", "3": "leipzig"}')
    alone.sql("update visits set note = 'c'")
    assert alone.admin("select base from multiserver.versions()") == [None]


def test_the_switch_is_made_whole_though_it_is_killed(alone: Site) -> None:
    alone.sql("insert into visits values (1, 'a')")
    killer.install(alone)
    killer.watch(alone, "-")
    seen = []

    def switch(*statements: str) -> killer.Deed:
        deed = killer.by(alone, "postgres", *statements)

        def do() -> None:
            seen.append(triggers(alone))
            deed.do()

        return killer.Deed(alone, "postgres", do)

    two = """select multiserver.configure_site(1, 1, '{"1": "berlin", "2": "hamburg"}')"""
    assert switch(two).kill() > 0
    assert {tuple(counts) for counts in seen} == {(0, 0)}
    assert triggers(alone) == [4, 3]
    alone.sql("update visits set note = 'b'")
    alone.admin("insert into multiserver.slots (peer_number, from_start) values (2, false)")
    seen.clear()
    configure(alone, '{"1": "berlin"}')
    assert switch("select multiserver.forget_site(2)").kill() > 0
    assert {tuple(counts) for counts in seen} == {(4, 3)}
    assert triggers(alone) == [0, 0]
    assert alone.admin("select count(*) from multiserver.versions()") == [0]
