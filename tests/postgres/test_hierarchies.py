"""Tables that inherit, and partitioned tables: each table of a hierarchy replicates its own rows, each row once."""

from pathlib import Path

import pytest

from tests.postgres.comparing import lose_slots, pull, verify
from tests.postgres.lives import Lives
from tests.postgres.mesh import Mesh, Site
from tests.postgres.test_conflicts import cut_off
from tests.postgres.test_schema import shape


@pytest.fixture
def family(mesh: Mesh, berlin: Site, request: pytest.FixtureRequest) -> str:
    """A parent with two children and a grandchild, as GNUmed has them; the name of the parent."""
    name = request.node.name.removeprefix("test_")[:20].strip("_")
    berlin.sql(f"create table {name} (id integer primary key, note text not null default 'n')")
    berlin.sql(f"create table {name}_a (dose numeric, primary key (id)) inherits ({name})")
    berlin.sql(
        f"create table {name}_b (id integer primary key, note text constraint {name}_note_not_null not null, side text)"
    )
    berlin.sql(f"alter table {name}_b inherit {name}")
    berlin.sql(f"create table {name}_aa (extra text, primary key (id)) inherits ({name}_a)")
    mesh.drain()
    return name


def rows(mesh: Mesh, parent: str) -> list[object]:
    return mesh.equal(f"select tableoid::regclass::text, id, note from {parent} order by 1, 2")


def test_each_table_has_its_own_rows_at_every_site(mesh: Mesh, berlin: Site, hamburg: Site, family: str) -> None:
    berlin.sql(f"insert into {family} values (1, 'parent')")
    hamburg.sql(f"insert into {family}_a values (1, 'a', 0.5), (2, 'a', 1)")
    hamburg.sql(f"insert into {family}_aa values (1, 'aa', 2, 'x')")
    berlin.sql(f"insert into {family}_b values (1, 'b', 'left')")
    assert rows(mesh, family) == [
        (family, 1, "parent"),
        (f"{family}_a", 1, "a"),
        (f"{family}_a", 2, "a"),
        (f"{family}_aa", 1, "aa"),
        (f"{family}_b", 1, "b"),
    ]
    assert mesh.equal(f"select dose from only {family}_a order by id") == [0.5, 1]
    mesh.assert_registers_equal()


def test_a_statement_on_the_parent_changes_rows_of_the_children(
    mesh: Mesh, berlin: Site, hamburg: Site, family: str
) -> None:
    berlin.sql(f"insert into {family} values (1), (2)")
    berlin.sql(f"insert into {family}_a values (1, 'a', 1), (3, 'a', 1)")
    berlin.sql(f"insert into {family}_b values (1, 'b', 'left')")
    mesh.drain()
    hamburg.sql(f"update {family} set note = 'all' where id = 1")
    hamburg.sql(f"delete from {family} where id = 3")
    hamburg.sql(f"update only {family} set note = 'only' where id = 2")
    assert rows(mesh, family) == [
        (family, 1, "all"),
        (family, 2, "only"),
        (f"{family}_a", 1, "all"),
        (f"{family}_b", 1, "all"),
    ]
    mesh.assert_registers_equal()


@pytest.mark.parametrize(("only", "left"), [("", 0), ("only ", 2)])
def test_truncate_with_and_without_only(mesh: Mesh, berlin: Site, hamburg: Site, only: str, left: int) -> None:
    name = f"cut_{left}"
    berlin.sql(f"create table {name} (id integer primary key)")
    berlin.sql(f"create table {name}_child (primary key (id)) inherits ({name})")
    berlin.sql(f"insert into {name} values (1)")
    berlin.sql(f"insert into {name}_child values (1), (2)")
    mesh.drain()
    hamburg.sql(f"truncate {only}{name}")
    assert mesh.equal(f"select count(*) from {name}") == [left]


def test_an_emptied_parent_counts_as_empty_though_its_children_have_rows(mesh: Mesh, berlin: Site, family: str) -> None:
    berlin.sql(f"insert into {family}_b values (1, 'b', 'left')")
    berlin.sql(f"alter table only {family} add constraint no_rows unique (note)")
    assert shape(mesh, family)


def test_tables_are_compared_one_by_one(mesh: Mesh, berlin: Site, hamburg: Site, family: str) -> None:
    berlin.sql(f"insert into {family} values (1, 'right')")
    berlin.sql(f"insert into {family}_a values (1, 'right', 0.5)")
    mesh.drain()
    assert verify(berlin, hamburg).is_equal
    hamburg.admin("set session_replication_role = replica")
    hamburg.admin(f"update only {family}_a set note = 'wrong'")
    hamburg.admin("reset session_replication_role")
    try:
        [difference] = verify(berlin, hamburg).differences
        assert (difference.table, difference.rows) == (f"public.{family}_a", 1)
    finally:
        berlin.sql(f"update only {family}_a set note = note")
    assert mesh.equal(f"select note from {family}") == ["right", "right"]


def test_what_is_pulled_is_the_tables_own_rows(two: Mesh) -> None:
    berlin, hamburg = two.sites
    berlin.sql("create table places (id integer primary key, note text)")
    berlin.sql("create table wards (beds integer, primary key (id)) inherits (places)")
    two.drain()
    two.cut_all()
    berlin.sql("insert into places values (1, 'place'), (3, 'place')")
    berlin.sql("insert into wards values (1, 'ward', 8), (2, 'ward', 9)")
    lose_slots(two)
    two.heal_all()
    assert pull(hamburg, berlin) == 4
    assert rows(two, "places") == [
        ("places", 1, "place"),
        ("places", 3, "place"),
        ("wards", 1, "ward"),
        ("wards", 2, "ward"),
    ]
    assert two.equal("select id, beds from wards order by id") == [(1, 8), (2, 9)]
    two.assert_registers_equal()


def test_a_copy_empties_a_local_parent_and_no_child_of_it(lives: Lives, tmp_path: Path) -> None:
    berlin, hamburg, _ = lives.mesh.sites
    for site in lives.mesh:
        site.admin("select multiserver.declare_local_tables('{public.places}')")
    berlin.sql("create table places (id integer primary key, note text)")
    berlin.sql("create table wards (primary key (id)) inherits (places)")
    lives.mesh.drain()
    hamburg.sql("insert into places values (1, 'hamburg')")
    hamburg.sql("insert into wards values (1, 'everywhere')")
    dresden = lives.join(4, hamburg, tmp_path / "dresden")
    lives.settle()
    assert dresden.sql("select tableoid::regclass::text, note from places") == [("wards", "everywhere")]
    assert lives.mesh.equal("select note from wards") == ["everywhere"]
    assert hamburg.sql("select note from only places") == ["hamburg"]


def test_conflicts_are_decided_table_by_table(mesh: Mesh, berlin: Site, hamburg: Site, family: str) -> None:
    berlin.sql(f"insert into {family}_a values (1, 'first', 0)")
    berlin.sql(f"insert into {family} values (1, 'first')")
    with cut_off(mesh):
        berlin.sql(f"update {family} set note = 'berlin'")
        hamburg.sql(f"update only {family}_a set note = 'hamburg'")
    assert rows(mesh, family) == [(family, 1, "berlin"), (f"{family}_a", 1, "hamburg")]
    mesh.assert_registers_equal()


def test_columns_of_the_parent_change_with_those_of_the_children(
    mesh: Mesh, berlin: Site, hamburg: Site, family: str
) -> None:
    berlin.sql(f"insert into {family}_aa values (1, 'aa', 1, 'x')")
    tables = [family, f"{family}_a", f"{family}_b", f"{family}_aa"]
    for change in (
        "add column added integer default 7",
        "alter column added set default 8",
        "alter column added type bigint",
        "alter column note type varchar",
        "rename column note to remark",
        "alter column remark drop not null",
        "add column gone text",
        "drop column gone",
    ):
        berlin.sql(f"alter table {family} {change}")
        for table in tables:
            assert shape(mesh, table)
    berlin.sql(f"alter table only {family}_a alter column added set default 9")
    mesh.drain()
    hamburg.sql(f"insert into {family}_a (id, remark) values (2, 'new')")
    hamburg.sql(f"insert into {family}_b (id, remark) values (3, 'new')")
    assert mesh.equal(f"select id, remark, added from {family} order by id") == [
        (1, "aa", 7),
        (2, "new", 9),
        (3, "new", 8),
    ]


def test_a_child_that_leaves_and_one_that_is_dropped(mesh: Mesh, berlin: Site, hamburg: Site, family: str) -> None:
    berlin.sql(f"alter table {family}_b no inherit {family}")
    berlin.sql(f"drop table {family}_aa")
    mesh.drain()
    hamburg.sql(f"insert into {family}_b values (1, 'alone', 'left')")
    hamburg.sql(f"insert into {family} values (1)")
    assert rows(mesh, family) == [(family, 1, "n")]
    assert mesh.equal(f"select note from {family}_b") == ["alone"]


def test_logs_that_inherit_without_a_key(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """GNUmed's audit: 100 log tables that inherit and have no key, filled by triggers."""
    berlin.sql("create table trail (at timestamptz default now(), who text default current_user)")
    berlin.sql("create table log_drug (id integer, name text) inherits (trail)")
    berlin.sql("create table drug (id integer primary key, name text)")
    berlin.sql(
        "create function keep_old() returns trigger language plpgsql as"
        " 'begin insert into log_drug (id, name) values (old.id, old.name); return new; end'"
    )
    berlin.sql("create trigger audit before update on drug for each row execute function keep_old()")
    berlin.sql("insert into drug values (1, 'a')")
    mesh.drain()
    hamburg.sql("update drug set name = 'b'")
    hamburg.sql("update drug set name = 'b'")
    assert mesh.equal("select id, name from log_drug order by name") == [(1, "a"), (1, "b")]
    assert mesh.equal("select count(*) from trail") == [2]


def test_rows_of_a_partitioned_table_are_captured_once(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql(
        "create table calls_by_day (id integer, day date not null, note text, primary key (id, day))"
        " partition by range (day)"
    )
    berlin.sql("create table calls_by_day_old partition of calls_by_day for values from (minvalue) to ('2026-01-01')")
    berlin.sql("create table calls_by_day_new partition of calls_by_day default")
    berlin.sql("create index on calls_by_day (note)")
    mesh.drain()
    hamburg.sql(
        "insert into calls_by_day values (1, '2025-05-05', 'a'), (2, '2026-05-05', 'b'), (3, '2026-06-06', 'c')"
    )
    mesh.drain()
    before = berlin.admin("select count(*) from multiserver.versions() where table_name like 'public.calls_by_day%'")
    berlin.sql("update calls_by_day set day = '2025-12-31' where id = 2")
    berlin.sql("delete from calls_by_day where id = 3")
    assert before == [3]
    assert mesh.equal("select tableoid::regclass::text, id, day::text from calls_by_day order by id") == [
        ("calls_by_day_old", 1, "2025-05-05"),
        ("calls_by_day_old", 2, "2025-12-31"),
    ]
    for table in ("calls_by_day", "calls_by_day_old", "calls_by_day_new"):
        assert shape(mesh, table)
    assert hamburg.admin("select name from multiserver.unreplicated_tables where name like '%calls_by_day%'") == []
    mesh.assert_registers_equal()


def test_partitions_that_come_and_go(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql(
        "create table doses_given (id bigint generated always as identity, place text, primary key (id, place))"
        " partition by list (place)"
    )
    berlin.sql("create table doses_given_b partition of doses_given for values in ('b')")
    mesh.drain()
    hamburg.sql("insert into doses_given (place) values ('b')")
    berlin.sql("create table doses_given_c (id bigint not null, place text not null, primary key (id, place))")
    berlin.sql("insert into doses_given_c values (5, 'c')")
    berlin.sql("alter table doses_given attach partition doses_given_c for values in ('c')")
    berlin.sql("alter table doses_given add column note text default 'x'")
    mesh.drain()
    hamburg.sql("insert into doses_given (place, note) values ('c', 'y')")
    assert mesh.equal("select place, note from doses_given order by place, note") == [
        ("b", "x"),
        ("c", "x"),
        ("c", "y"),
    ]
    berlin.sql("alter table doses_given detach partition doses_given_b")
    mesh.drain()
    hamburg.sql("insert into doses_given_b values (9, 'z')")
    assert mesh.equal("select place from doses_given_b order by place") == ["b", "z"]
    berlin.sql("drop table doses_given")
    assert mesh.equal("select to_regclass('doses_given_c')") == [None]


def test_a_foreign_key_to_a_partitioned_table(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table stations (id integer primary key) partition by list (id)")
    berlin.sql("create table stations_1 partition of stations for values in (1, 2)")
    berlin.sql("create table beds (id integer primary key, ward integer references stations on delete cascade)")
    berlin.sql("insert into stations values (1), (2)")
    berlin.sql("insert into beds values (1, 1), (2, 2)")
    mesh.drain()
    hamburg.sql("delete from stations where id = 1")
    assert mesh.equal("select id, ward from beds") == [(2, 2)]
