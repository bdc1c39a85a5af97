"""Sites with PostgreSQL 18 and 19 in one mesh: the older or the newer one may be where the schema is changed.

What is made of PostgreSQL's own text forms, checksums and definitions must be the same in both. Each test runs with the
older and with the newer version at the schema site.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from multiserver.replication.verify import Verified
from tests.postgres import test_conflict_log, test_quarantine, test_tables_without_key, test_unique
from tests.postgres.comparing import lose_slots, pull, verify
from tests.postgres.mesh import Mesh, Site, build_now, make_engine_template
from tests.postgres.servers import servers
from tests.postgres.test_capture import EVERY_TYPE, EVERY_VALUE, ODD_SETTINGS
from tests.postgres.test_conflicts import cut_off
from tests.postgres.test_real_schemas_support import KEYS, make_key_types
from tests.postgres.test_schema import shape
from tests.rootfs import IMAGE_MAJOR, NEWER_MAJOR, ensure

ORDERS = {
    "older-schema-site": (IMAGE_MAJOR, NEWER_MAJOR, IMAGE_MAJOR),
    "newer-schema-site": (NEWER_MAJOR, IMAGE_MAJOR, IMAGE_MAJOR),
}
"""The major version of each site's server; the first one is the schema site."""


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("templates")
    return {major: make_engine_template(ensure(major), folder / str(major)) for major in (IMAGE_MAJOR, NEWER_MAJOR)}


@pytest.fixture(scope="module", params=ORDERS)
def mesh(
    templates: dict[int, Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Mesh]:
    """Two sites with the older version and one with the newer, in place of the mesh that other files share."""
    with ExitStack() as stack:
        made = []
        for number, major in enumerate(ORDERS[request.param], start=1):
            folder = tmp_path_factory.mktemp(f"site{number}")
            made += stack.enter_context(servers(ensure(major), templates[major], folder, 1))
        yield build_now(made)


@pytest.fixture
def newer(mesh: Mesh) -> Site:
    return next(site for site in mesh if site.server.rootfs.major == NEWER_MAJOR)


@pytest.fixture
def older(mesh: Mesh) -> Site:
    return next(site for site in mesh if site.server.rootfs.major == IMAGE_MAJOR)


def test_the_sites_have_the_versions_that_they_are_meant_to_have(newer: Site, older: Site) -> None:
    major = "select current_setting('server_version_num')::integer / 10000"
    assert (newer.admin(major), older.admin(major)) == ([NEWER_MAJOR], [IMAGE_MAJOR])


def test_values_of_every_type_are_the_same_text_in_both(mesh: Mesh, berlin: Site, newer: Site, older: Site) -> None:
    berlin.sql("create type mood as enum ('well', 'ill'); create domain percent as integer check (value <= 100)")
    berlin.sql("create type address as (street text, house integer)")
    berlin.sql(EVERY_TYPE)
    berlin.sql(
        "alter table everything add column mood mood, add column share percent, add column home address, "
        "add column homes address[], add column spans int4multirange, add column path jsonpath, "
        "add column words tsvector, add column mac macaddr8, add column at pg_lsn, add column long text, "
        "add column tripled bigint generated always as (a * 3) virtual"
    )
    mesh.drain()
    for site, key in ((newer, 1), (older, 2)):
        session = site.server.connect("app", "app")
        session.execute(ODD_SETTINGS.encode())
        session.execute(EVERY_VALUE.encode())
        session.execute(
            "update public.everything set id = lpad(%s::text, 32, '0')::uuid, d = 0.1, mood = 'ill', share = 7,"
            " home = ('a \"b\", c', null), homes = array[('x', 1)::public.address], spans = '{[1,3),[5,8)}',"
            " path = '$.a[*] ? (@ > 1)', words = 'a:1 fat:2B cat', mac = '08:00:2b:01:02:03:04:05', at = '16/B374D848',"
            " long = (select string_agg(md5(n::text), '') from generate_series(1, 2000) n)"
            " where id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            [key],
        )
        session.close()
        mesh.drain()
    for site, key in ((older, 1), (newer, 2)):
        site.sql("update everything set p = true, b = b - 1 where id = lpad(%s::text, 32, '0')::uuid", [key])
    rows = mesh.equal("select e.*::text, tripled from everything e order by id")
    assert [row[1] for row in rows] == [-32768 * 3] * 2
    assert len(mesh.equal("select distinct long from everything")) == 1
    mesh.assert_registers_equal()


def test_updates_deletions_and_truncate_at_each_site(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table visits (id integer primary key, note text)")
    mesh.drain()
    for site in mesh:
        site.sql(
            "insert into visits select n, 'new' from generate_series(%s * 100, %s * 100 + 49) n", [site.number] * 2
        )
    mesh.drain()
    for site in mesh:
        after = site.number % 3 + 1
        site.sql("update visits set note = %s where id / 100 = %s and id %% 2 = 0", [site.name, after])
        site.sql("delete from visits where id / 100 = %s and id %% 5 = 0", [after])
        site.sql("update visits set id = -id where id = %s", [after * 100 + 1])
    assert mesh.equal("select note, count(*) from visits group by 1 order by 1") == [
        ("berlin", 20),
        ("hamburg", 20),
        ("leipzig", 20),
        ("new", 60),
    ]
    for site in mesh:
        site.sql("truncate visits")
        mesh.drain()
        site.sql("insert into visits values (%s)", [site.number])
        assert mesh.equal("select id from visits") == [site.number]
    mesh.assert_registers_equal()


def test_schema_changes_make_the_same_objects(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create schema ward; create type ward.size as enum ('small', 'large')")
    berlin.sql(
        "create table ward.practices (id bigint generated by default as identity primary key, name text not null);"
        "create table ward.doctors (id serial primary key, name varchar(40) not null default 'n.n.', size ward.size,"
        " fee numeric(8,2) check (fee >= 0 and fee <> 7),"
        " practice bigint references ward.practices on delete set null deferrable initially deferred,"
        " twice numeric generated always as (fee * 2) stored, half numeric generated always as (fee / 2) virtual,"
        ' login text collate "C" unique nulls not distinct, unique (name, practice)) with (fillfactor = 80);'
        "create index doctors_lower on ward.doctors (lower(name) desc nulls last) include (fee) where fee is not null"
    )
    berlin.sql(
        "create table ward.days (day date, id integer, primary key (day, id)) partition by range (day);"
        "create table ward.days_2026 partition of ward.days for values from ('2026-01-01') to ('2027-01-01');"
        "create table ward.other_days partition of ward.days default"
    )
    berlin.sql(
        "create function ward.stamp() returns trigger language plpgsql as"
        " 'begin new.name := new.name || ''!''; return new; end';"
        "create trigger stamp before insert on ward.doctors for each row when (new.name <> '')"
        " execute function ward.stamp();"
        "create function ward.total(bigint) returns numeric language sql stable begin atomic"
        " select sum(fee) filter (where size = 'large') from ward.doctors where practice = $1; end;"
        "create view ward.fees as select p.name, d.fee, rank() over (partition by p.id order by d.fee desc)"
        " from ward.practices p left join ward.doctors d on d.practice = p.id"
    )
    mesh.drain()
    hamburg.sql(
        "insert into ward.practices values (1, 'a'); insert into ward.doctors (name, fee, practice) values ('x', 3, 1)"
    )
    hamburg.sql("insert into ward.days values ('2026-03-01', 1), ('2030-01-01', 2)")
    mesh.drain()
    for change in (
        "add column beds integer not null default 2, add column born timestamptz default '2026-01-01 00:00Z'",
        "alter beds set default 3",
        "drop column login",
        "rename column name to label",
        "alter beds type bigint",
        "alter fee drop not null",
    ):
        berlin.sql(f"alter table ward.doctors {change}")
    berlin.sql(
        "alter table ward.days detach partition ward.other_days; comment on column ward.doctors.fee is 'in euros'"
    )
    for table in ("doctors", "practices", "days", "days_2026", "other_days"):
        assert shape(mesh, f"ward.{table}")
    definitions = (
        "select pg_get_functiondef('ward.total'::regproc), pg_get_functiondef('ward.stamp'::regproc),"
        " pg_get_viewdef('ward.fees'::regclass), col_description('ward.doctors'::regclass, 4)"
    )
    assert mesh.equal(definitions)[0][3] == "in euros"
    assert mesh.equal("select label, fee, twice, half, beds from ward.doctors") == [("x!", 3, 6, 1.5, 2)]
    assert mesh.equal("select tableoid::regclass::text from ward.days") == ["ward.days_2026"]
    assert mesh.equal("select id from ward.other_days") == [2]


def test_each_site_draws_numbers_of_its_own(mesh: Mesh, berlin: Site) -> None:
    berlin.sql(
        "create table invoices (id serial primary key, number bigint generated always as identity, site integer)"
    )
    mesh.drain()
    for site in mesh:
        site.sql("insert into invoices (site) select %s from generate_series(1, 20)", [site.number])
    drawn = mesh.equal("select count(*), count(distinct id), count(distinct number) from invoices")
    assert drawn == [(60, 60, 60)]


test_a_conflict_is_in_the_log = test_conflict_log.test_three_concurrent_writers_lose_two_changes
test_a_deletion_and_an_update = test_conflict_log.test_delete_that_loses_to_a_later_update
test_truncate_against_an_update = test_conflict_log.test_truncate_against_update
test_rows_with_one_unique_value_are_parked = test_unique.test_partial_expression_and_nulls_not_distinct_indexes
test_a_parked_row_returns = test_unique.test_a_parked_row_returns_when_its_value_is_free
test_quarantine_of_a_refused_row = test_quarantine.test_a_one_sided_check_holds_up_no_link
test_quarantine_of_a_value_that_cannot_be_read = test_quarantine.test_a_value_that_one_site_cannot_read
test_rows_without_key = test_tables_without_key.test_rows_added_at_each_site_are_at_all_of_them_even_if_they_are_alike


def test_what_a_lost_slot_has_swallowed_is_pulled_both_ways_and_proven_equal(
    mesh: Mesh, berlin: Site, newer: Site, older: Site
) -> None:
    """Keys of every type must have one checksum in both versions, or all of them would seem to differ."""
    make_key_types(mesh)
    names = {key_type: f"hashed_{number}" for number, key_type in enumerate(KEYS)}
    for key_type, name in names.items():
        berlin.sql(f"create table {name} (k {key_type} primary key, note text)")
        rows = ", ".join(f"(({key})::{key_type}, 'same')" for key in KEYS[key_type])
        berlin.sql(f"insert into {name} values {rows}")
    berlin.sql("create table pulled (id integer primary key, note text)")
    berlin.sql("insert into pulled select n, 'old' from generate_series(1, 100) n")
    with cut_off(mesh):
        newer.sql("insert into pulled select n, 'newer' from generate_series(1001, 1300) n")
        newer.sql("delete from pulled where id <= 10")
        older.sql("insert into pulled select n, 'older' from generate_series(2001, 2200) n")
        older.sql("update pulled set note = 'older' where id > 90 and id <= 100")
        lose_slots(mesh)
    assert pull(older, newer) == 310
    assert pull(newer, older) == 210
    third = next(site for site in mesh if site not in (newer, older))
    assert pull(third, newer) == 520
    assert mesh.equal("select note, count(*) from pulled group by 1 order by 1") == [
        ("newer", 300),
        ("old", 80),
        ("older", 210),
    ]
    assert pull(older, newer) == pull(newer, older) == 0
    mesh.assert_registers_equal()
    for site, peer in ((newer, older), (older, newer)):
        found: Verified = verify(site, peer)
        assert found.is_equal, found


def test_what_only_the_newer_version_can_do_with_rows(mesh: Mesh, berlin: Site, newer: Site, older: Site) -> None:
    """REPACK writes no row anew for the peers; INSERT ... ON CONFLICT DO SELECT is captured as what it does."""
    berlin.sql("create table stock (id integer primary key, amount integer)")
    berlin.sql("insert into stock select n, 0 from generate_series(1, 500) n")
    mesh.drain()
    newer.sql("delete from stock where id > 10")
    known = newer.admin("select table_id from multiserver.tables where name = 'public.stock'")[0]
    events = f"select count(*) from multiserver.journal where table_id = {known}"
    before = newer.admin(events)
    newer.sql("repack stock")
    newer.admin("repack (concurrently) public.stock")
    newer.admin("repack")
    assert newer.admin(events) == before
    assert newer.sql("insert into stock values (1, 7) on conflict (id) do select returning *") == [(1, 0)]
    assert newer.sql("insert into stock values (11, 7) on conflict (id) do select for update returning *") == [(11, 7)]
    older.sql("update stock set amount = 3 where id = 5")
    newer.sql("update stock set amount = amount + 1 where id = 2")
    assert mesh.equal("select id, amount from stock where amount > 0 order by id") == [(2, 1), (5, 3), (11, 7)]
    assert mesh.equal("select count(*) from stock") == [11]
    mesh.assert_registers_equal()


def test_sequences_that_postgresql_replicates_itself_are_the_sites_own_affair(mesh: Mesh, newer: Site) -> None:
    newer.admin("create publication of_sequences for all sequences")
    try:
        mesh.drain()
        assert [site.admin("select count(*) from pg_publication where pubname = 'of_sequences'") for site in mesh] == [
            [int(site is newer)] for site in mesh
        ]
    finally:
        newer.admin("drop publication of_sequences")
