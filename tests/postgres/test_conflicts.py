"""Concurrent changes of the same rows end equal everywhere: the cases in which native logical replication does not.

Each test cuts all links, changes the same rows at several sites, heals, and compares.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.postgres.mesh import Mesh, Site


@contextmanager
def cut_off(mesh: Mesh) -> Iterator[None]:
    """No site receives anything inside; all do again afterwards."""
    mesh.drain()
    mesh.cut_all()
    try:
        yield
    finally:
        mesh.heal_all()


@pytest.fixture
def stock(berlin: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A table with one row, for this test alone."""
    name = request.node.name.removeprefix("test_")[:60]
    berlin.sql(f"create table {name} (id integer primary key, note text)")
    berlin.sql(f"insert into {name} values (0, 'first')")
    yield name
    berlin.sql(f"drop table {name}")


def test_insert_against_insert_of_one_key(mesh: Mesh, berlin: Site, hamburg: Site, stock: str) -> None:
    with cut_off(mesh):
        berlin.sql(f"insert into {stock} values (1, 'berlin')")
        hamburg.sql(f"insert into {stock} values (1, 'hamburg, later')")
    assert mesh.equal(f"select note from {stock} order by id") == ["first", "hamburg, later"]


def test_update_against_update(mesh: Mesh, berlin: Site, leipzig: Site, stock: str) -> None:
    with cut_off(mesh):
        leipzig.sql(f"update {stock} set note = 'leipzig'")
        berlin.sql(f"update {stock} set note = 'berlin, later'")
    assert mesh.equal(f"select note from {stock}") == ["berlin, later"]


def test_update_against_delete(mesh: Mesh, berlin: Site, hamburg: Site, stock: str) -> None:
    with cut_off(mesh):
        hamburg.sql(f"delete from {stock}")
        berlin.sql(f"update {stock} set note = 'wins, being later'")
    assert mesh.equal(f"select note from {stock}") == ["wins, being later"]


def test_delete_against_update(mesh: Mesh, berlin: Site, hamburg: Site, stock: str) -> None:
    with cut_off(mesh):
        hamburg.sql(f"update {stock} set note = 'loses, being earlier'")
        berlin.sql(f"delete from {stock}")
    assert mesh.equal(f"select note from {stock}") == []


def test_update_arrives_before_the_insert_it_changes(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site, stock: str
) -> None:
    mesh.drain()
    leipzig.cut(berlin)
    try:
        berlin.sql(f"insert into {stock} values (1, 'new')")
        mesh_of_two = Mesh([berlin, hamburg])
        mesh_of_two.drain()
        hamburg.sql(f"update {stock} set note = 'changed' where id = 1")
        Mesh([hamburg, leipzig]).drain()
        assert leipzig.sql(f"select note from {stock} where id = 1") == ["changed"]
    finally:
        leipzig.heal(berlin)
    assert mesh.equal(f"select note from {stock} order by id") == ["first", "changed"]


def test_stale_update_after_delete_and_reinsert(mesh: Mesh, berlin: Site, hamburg: Site, stock: str) -> None:
    with cut_off(mesh):
        hamburg.sql(f"update {stock} set note = 'stale'")
        berlin.sql(f"delete from {stock}")
        berlin.sql(f"insert into {stock} values (0, 'reborn')")
    assert mesh.equal(f"select note from {stock}") == ["reborn"]


def test_truncate_against_insert_and_update(mesh: Mesh, berlin: Site, hamburg: Site, stock: str) -> None:
    with cut_off(mesh):
        hamburg.sql(f"update {stock} set note = 'truncated, being earlier'")
        berlin.sql(f"truncate {stock}")
        hamburg.sql(f"insert into {stock} values (1, 'unknown to berlin')")
    assert mesh.equal(f"select note from {stock}") == ["unknown to berlin"]


def test_a_winner_is_a_whole_row_and_never_a_mixture(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table letters (id integer primary key, subject text, body text)")
    berlin.sql("alter table letters alter body set default ''")
    berlin.sql("insert into letters values (1, 'old', repeat('old ', 50000))")
    with cut_off(mesh):
        hamburg.sql("update letters set body = repeat('hamburg ', 50000)")
        berlin.sql("update letters set subject = 'berlin, later'")
    assert mesh.equal("select subject, left(body, 4) from letters") == [("berlin, later", "old ")]


def test_child_of_a_parent_that_another_site_deletes(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table parents (id integer primary key)")
    berlin.sql("create table children (id integer primary key, parent integer references parents)")
    berlin.sql("insert into parents values (1)")
    with cut_off(mesh):
        berlin.sql("delete from parents")
        hamburg.sql("insert into children values (1, 1)")
    assert mesh.equal("select count(*) from parents") == [0]
    assert mesh.equal("select parent from children") == [1]


def test_three_sites_write_one_row_many_times(mesh: Mesh, stock: str) -> None:
    with cut_off(mesh):
        for turn in range(10):
            for site in mesh:
                site.sql(f"update {stock} set note = %s", [f"{site.name} {turn}"])
    assert mesh.equal(f"select note from {stock}") == ["leipzig 9"]
    mesh.assert_registers_equal()


def test_keys_that_are_equal_but_written_differently_end_the_same(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create extension if not exists citext")
    berlin.sql("create table spellings (n numeric, name citext, note text, primary key (n, name))")
    berlin.sql("create table spellings_only (n numeric, name citext, primary key (n, name))")
    with cut_off(mesh):
        berlin.sql("insert into spellings values (1.0, 'anna', 'berlin'), (2, 'x', 'x')")
        berlin.sql("insert into spellings_only values (1.0, 'anna')")
        hamburg.sql("insert into spellings values (1.00, 'Anna', 'hamburg'), (2.0, 'X', 'x')")
        hamburg.sql("insert into spellings_only values (1.00, 'Anna')")
    assert mesh.equal("select n::text, name::text, note from spellings order by n") == [
        ("1.00", "Anna", "hamburg"),
        ("2.0", "X", "x"),
    ]
    assert mesh.equal("select n::text, name::text from spellings_only") == [("1.00", "Anna")]
    berlin.sql("drop table spellings, spellings_only")  # the registers keep the spelling that they saw first


def test_a_wrong_clock_never_makes_a_site_lose_its_own_later_change(
    mesh: Mesh, berlin: Site, hamburg: Site, stock: str
) -> None:
    wall_clock = "(date_part('epoch', clock_timestamp()) * 1000000)::bigint"
    clock = "create or replace function multiserver.wall_clock() returns bigint language sql volatile return "
    mesh.drain()
    berlin.admin(f"{clock} {wall_clock} + 3600 * 1000000::bigint")
    try:
        berlin.sql(f"update {stock} set note = 'from an hour ahead'")
        mesh.drain_by_rows(f"select note from {stock}")
    finally:
        berlin.admin(f"{clock} {wall_clock}")
    hamburg.sql(f"update {stock} set note = 'seen it, and changed it'")
    mesh.drain_by_rows(f"select note from {stock}")
    berlin.sql(f"update {stock} set note = note || ', and back'")
    assert mesh.equal(f"select note from {stock}") == ["seen it, and changed it, and back"]
