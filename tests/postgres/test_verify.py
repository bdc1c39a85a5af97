"""Verifying: equality is proven while everybody writes, or a difference named."""

import pytest

from multiserver.postgres.connect import Connection
from multiserver.replication import verify as verifying
from multiserver.replication.compare import Comparison, begin
from tests.postgres.comparing import lose_slots, pull, verify, writing
from tests.postgres.mesh import Mesh, Site


def test_equal_while_three_sites_write(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    berlin.sql("create table busy (id integer primary key, note text)")
    berlin.sql("insert into busy select n, '' from generate_series(1, 200) n")
    mesh.drain()
    statement = "update busy set note = '{site} {turn}' where id % 20 = {turn} % 20"
    with writing(mesh.sites, lambda site, turn: statement.format(site=site.number, turn=turn)):
        for site, peer in ((berlin, hamburg), (hamburg, leipzig), (leipzig, berlin)):
            found = verify(site, peer)
            assert found.is_equal, found
    mesh.drain()


def test_silent_damage_is_found_with_its_key_and_not_repaired(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table damaged (a integer, b text, note text, primary key (a, b))")
    berlin.sql("insert into damaged select n, 'k', 'right' from generate_series(1, 50) n")
    mesh.drain()
    hamburg.admin("set session_replication_role = replica")
    hamburg.admin("update damaged set note = 'wrong' where a = 7")
    hamburg.admin("delete from damaged where a = 8")
    hamburg.admin("reset session_replication_role")
    try:
        for site, peer in ((berlin, hamburg), (hamburg, berlin)):
            assert pull(site, peer) == 0
            [difference] = verify(site, peer).differences
            assert (difference.table, difference.rows, difference.damaged) == ("public.damaged", 2, 2)
            assert difference.examples == ("(7,k)", "(8,k)")
        assert hamburg.sql("select note from damaged where a = 7") == ["wrong"]
    finally:
        # The documented cure: write the rows again at the site where they are right.
        berlin.sql("update damaged set note = note where a in (7, 8)")
    assert mesh.equal("select distinct note from damaged") == ["right"]
    assert verify(berlin, hamburg).is_equal


def test_a_change_that_was_lost_is_a_difference_and_no_damage(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key, note text)")
    two.drain()
    two.cut_all()
    berlin.sql("insert into items values (1, 'x'), (2, 'y')")
    lose_slots(two)
    two.heal_all()
    with writing(two.sites, lambda site, turn: f"insert into items values ({site.number * 10**6 + turn})"):
        [difference] = verify(hamburg, berlin).differences
    assert (difference.table, difference.rows, difference.damaged) == ("public.items", 2, 0)


def test_what_is_under_way_behind_a_cut_line_is_not_judged(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table late (id integer primary key)")
    mesh.drain()
    hamburg.cut(berlin)
    try:
        berlin.sql("insert into late values (1)")
        found = verify(hamburg, berlin, patience_seconds=1)
    finally:
        hamburg.heal(berlin)
    assert found.differences == ()
    assert found.unknown == ("table public.late: changes of 1 keys are still under way",)
    mesh.drain()


def test_keys_that_are_equal_but_written_differently_are_equal(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create type color as enum ('red', 'blue')")
    berlin.sql("create table odd_keys (n numeric, c color, at timestamptz, note bytea, primary key (n, c, at))")
    mesh.drain()
    mesh.cut_all()
    hamburg.sql("set timezone = 'Asia/Tokyo'")
    hamburg.sql("set bytea_output = 'escape'")
    try:
        berlin.sql("insert into odd_keys values (1.0, 'red', '2026-01-01 00:00+00', 'x')")
        hamburg.sql("insert into odd_keys values (1.00, 'red', '2026-01-01 09:00+09', 'y')")
        assert pull(berlin, hamburg) == 1
    finally:
        hamburg.sql("reset timezone")
        hamburg.sql("reset bytea_output")
        mesh.heal_all()
    assert mesh.equal("select note from odd_keys") == [b"y"]
    assert verify(berlin, hamburg).is_equal
    berlin.sql("drop table odd_keys")  # the registers keep the spelling that they saw first


def test_what_a_site_collects_during_a_comparison_is_no_difference(two: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table items (id integer primary key)")
    berlin.sql("insert into items select generate_series(1, 20)")
    berlin.sql("delete from items where id > 10")
    two.drain()

    async def begin_and_collect(own: Connection, peer: Connection, *, with_content: bool) -> Comparison:
        comparison = await begin(own, peer, with_content=with_content)
        hamburg.admin(
            "select setval('multiserver.collected_horizon', multiserver.version_at(multiserver.wall_clock(), 0))"
        )
        hamburg.admin("select multiserver.collect_registers()")
        return comparison

    monkeypatch.setattr(verifying, "begin", begin_and_collect)
    found = verify(berlin, hamburg, patience_seconds=1)
    [register] = hamburg.admin("select format('multiserver.register_%s', table_id) from multiserver.tables")
    assert hamburg.admin(f"select count(*) from {register}") == [0]
    assert found.is_equal, found


def test_settings_of_a_site_make_no_row_differ(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    settings = {
        "timezone": "Asia/Tokyo",
        "datestyle": "German",
        "intervalstyle": "sql_standard",
        "bytea_output": "escape",
        "extra_float_digits": "-3",
    }
    for name, value in settings.items():
        hamburg.admin(f"alter database app set {name} = '{value}'")
    try:
        berlin.sql(
            "create table texts (id integer primary key, at timestamptz, day date, length interval, scan bytea,"
            " weight float8, doubled integer generated always as (id * 2) stored)"
        )
        berlin.sql("insert into texts values (1, now(), '2026-02-01', '-1 day 2:00', '\\x00ff', 0.1 + 0.2)")
        mesh.drain()
        for site, peer in ((berlin, hamburg), (hamburg, berlin)):
            assert verify(site, peer).is_equal
    finally:
        for name in settings:
            hamburg.admin(f"alter database app reset {name}")


def test_a_lost_row_of_a_table_without_key_is_a_difference(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table log (words text)")
    two.drain()
    two.cut_all()
    berlin.sql("insert into log values ('lost')")
    lose_slots(two)
    two.heal_all()
    with writing(two.sites, lambda site, turn: f"insert into log values ('{site.name} {turn}')"):
        [difference] = verify(hamburg, berlin).differences
    assert (difference.table, difference.rows, difference.damaged) == ("public.log", 1, 0)
