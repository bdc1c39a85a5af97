"""What is captured is what the table holds, whatever the application's types, names, settings and triggers."""

import psycopg
import pytest

from tests.postgres.mesh import Mesh, Site

EVERY_TYPE = """
create table everything (
  id uuid primary key, a smallint, b bigint, c numeric(20,4), d real, e double precision, f money, g text,
  h char(5), i varchar(9), j bytea, k timestamp, l timestamptz, m date, n timetz, o interval, p boolean, q inet,
  r jsonb, s json,
  t integer[], u text[][], v int4range, w tstzrange, x xml, y point, z bit(3),
  doubled bigint generated always as (b * 2) stored
)
"""

EVERY_VALUE = """
insert into everything values (
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', -32768, 9223372036854775, 1234567890.1234, 'NaN', '-Infinity', '12.34',
  'quo"te, (x) \\ \n',
  'ab', 'öä', '\\x00ff22', '2024-05-06 07:08:09.123456', '0044-03-15 BC 12:00 UTC',
  'infinity', '12:00+03', '1 year -2 days 03:04:05',
  null, '10.0.0.0/8', '{"a": [1, null]}', 'null', '[2:3]={1,null}', '{{a,b},{c,"d,}"}}', '[1,5)',
  '[2024-01-01,)', '<a>&amp;</a>', '(1.5,-2)', '101')
"""

ODD_SETTINGS = """
set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set extra_float_digits = -15;
set timezone = 'Asia/Kolkata';
set bytea_output = 'escape'; set search_path = pg_temp, public
"""


def test_every_type_arrives_unchanged_whatever_the_session_settings(mesh: Mesh, berlin: Site) -> None:
    berlin.sql(EVERY_TYPE)
    session = berlin.server.connect("app", "app")
    session.execute(ODD_SETTINGS.encode())
    session.execute(EVERY_VALUE.encode())
    session.execute("update everything set d = 0.1, e = 0.1::float8 + 0.2, o = '-1 days -02:03'")
    session.close()
    assert mesh.equal("select e.*::text from everything e")
    assert mesh.equal("select d::text, e::text, doubled from everything")[0] == (
        "0.1",
        "0.30000000000000004",
        18446744073709550,
    )


def test_datestyle_of_the_session_does_not_swap_day_and_month(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table births (id integer primary key, day date)")
    session = berlin.server.connect("app", "app")
    session.execute("set datestyle = 'SQL, DMY'")
    session.execute("insert into births values (1, '05/06/2024')")
    session.close()
    assert mesh.equal("select day::text from births") == ["2024-06-05"]


def test_an_after_trigger_that_updates_its_own_row(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table orders (id integer primary key, total integer, state text default 'new')")
    berlin.sql(
        "create function stamp() returns trigger language plpgsql as"
        " 'begin update orders set state = ''seen'' where id = new.id and state = ''new''; return null; end'"
    )
    berlin.sql("create trigger stamp after insert on orders for each row execute function stamp()")
    mesh.drain()
    hamburg.sql("insert into orders values (1, 10), (2, 20)")
    assert mesh.equal("select id, state from orders order by id") == [(1, "seen"), (2, "seen")]
    mesh.assert_registers_equal()


def test_an_after_trigger_that_deletes_its_own_row(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table spam (id integer primary key)")
    berlin.sql(
        "create function discard() returns trigger language plpgsql as"
        " 'begin delete from spam where id = new.id; return null; end'"
    )
    berlin.sql("create trigger discard after insert on spam for each row execute function discard()")
    berlin.sql("insert into spam values (1), (2)")
    assert mesh.equal("select * from spam") == []
    mesh.assert_registers_equal()


def test_triggers_of_the_application_fire_once_at_the_origin(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table prices (id integer primary key, price integer)")
    berlin.sql("create table price_log (id serial primary key, site integer, price integer)")
    berlin.sql(
        "create function log_price() returns trigger language plpgsql as"
        " 'begin insert into price_log (price) values (new.price); return null; end'"
    )
    berlin.sql("create trigger log_price after insert on prices for each row execute function log_price()")
    mesh.drain()
    hamburg.sql("insert into prices values (1, 10)")
    assert mesh.equal("select price from price_log") == [10]


def test_cascading_foreign_keys(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table owners (id integer primary key)")
    berlin.sql(
        "create table pets (id integer primary key,"
        " owner integer references owners on update cascade on delete cascade)"
    )
    berlin.sql("insert into owners values (1), (2)")
    berlin.sql("insert into pets values (1, 1), (2, 2)")
    mesh.drain()
    hamburg.sql("update owners set id = 11 where id = 1")
    hamburg.sql("delete from owners where id = 2")
    assert mesh.equal("select * from pets") == [(1, 11)]
    mesh.assert_registers_equal()


def test_changed_keys_are_a_deleted_and_a_written_row(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table wards (id integer primary key, name text unique)")
    berlin.sql("insert into wards select n, 'ward ' || n from generate_series(1, 4) n")
    mesh.drain()
    hamburg.sql("update wards set id = 9 where id = 4")
    mesh.drain()
    berlin.sql("update wards set id = id - 1")
    assert mesh.equal("select * from wards order by id") == [(0, "ward 1"), (1, "ward 2"), (2, "ward 3"), (8, "ward 4")]
    mesh.assert_registers_equal()


def test_truncate_reaches_all_sites(mesh: Mesh, berlin: Site, leipzig: Site) -> None:
    berlin.sql("create table scratch (id integer primary key)")
    berlin.sql("insert into scratch select generate_series(1, 100)")
    mesh.drain()
    leipzig.sql("truncate scratch")
    assert mesh.equal("select count(*) from scratch") == [0]


def test_truncate_is_refused_where_it_would_remove_rows_that_it_cannot_see(
    mesh: Mesh, berlin: Site, leipzig: Site
) -> None:
    berlin.sql("create table unseen (id integer primary key)")
    mesh.drain()
    with (
        pytest.raises(psycopg.DatabaseError, match=r"TRUNCATE of public\.unseen in a REPEATABLE READ") as error,
        leipzig.server.connect("app", "app") as early,
        early.transaction(),
    ):
        early.execute("set transaction isolation level repeatable read")
        early.execute("select 1 from unseen")
        leipzig.sql("insert into unseen values (1)")
        early.execute("truncate unseen")
    assert error.value.sqlstate == "MS012"
    assert mesh.equal("select id from unseen") == [1]
    mesh.assert_registers_equal()


def test_names_to_quote_and_keys_of_several_columns(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql('create schema "My-Schema"')
    berlin.sql(
        'create table "My-Schema"."Sel""ect {table}" ("Or\'der" text collate "C", "user" date,'
        ' version bigint, "{id}" text, image text, k1 text, primary key ("user", "Or\'der"))'
    )
    insert = 'insert into "My-Schema"."Sel""ect {table}" values (%s, %s, 1, %s, %s, %s)'
    berlin.sql(insert, ['a,b"c)', "2024-01-02", "{}", "i", "k"])
    mesh.drain()
    hamburg.sql('update "My-Schema"."Sel""ect {table}" set "{id}" = \'changed\', "Or\'der" = \'new (key)\'')
    query = 'select "Or\'der", "user"::text, "{id}", image, k1 from "My-Schema"."Sel""ect {table}"'
    assert mesh.equal(query) == [("new (key)", "2024-01-02", "changed", "i", "k")]
    mesh.assert_registers_equal()


def test_tables_of_key_columns_only_and_upserts(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table tags (item integer, tag text, primary key (item, tag))")
    berlin.sql("insert into tags values (1, 'a'), (1, 'b')")
    mesh.drain()
    hamburg.sql("insert into tags values (1, 'b'), (1, 'c') on conflict do nothing")
    hamburg.sql("insert into tags values (1, 'a') on conflict (item, tag) do update set tag = excluded.tag")
    hamburg.sql(
        "merge into tags t using (values (1, 'b')) v (i, g) on t.item = v.i and t.tag = v.g when matched then delete"
    )
    assert mesh.equal("select tag from tags order by tag") == ["a", "c"]
    mesh.assert_registers_equal()


def test_large_values_and_many_rows_in_one_statement(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table pages (id integer primary key, body text)")
    berlin.sql("insert into pages select n, repeat(n::text, 100) from generate_series(1, 20000) n")
    mesh.drain()
    hamburg.sql("update pages set body = repeat('x', 3000000) where id = 1")
    hamburg.sql("update pages set body = 'short' where id between 2 and 10000")
    hamburg.sql("delete from pages where id > 15000")
    assert (
        mesh.equal("select count(*), sum(length(body)), count(*) filter (where body = 'short') from pages")[0][2]
        == 9999
    )
    mesh.assert_registers_equal()


def test_rows_that_did_not_change_are_not_rewritten(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table locked (id integer primary key, note text)")
    berlin.sql("insert into locked values (1, 'one'), (2, 'two')")
    mesh.drain()
    before = hamburg.sql("select xmin::text from locked where id = 1")
    berlin.sql("update locked set note = 'changed' where id = 2")
    mesh.drain()
    assert hamburg.sql("select xmin::text from locked where id = 1") == before


def test_settings_of_the_database_do_not_stop_the_merge(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table patients (id integer primary key, born date)")
    mesh.drain()
    hamburg.admin("alter database app set default_transaction_read_only = on")
    hamburg.admin("alter database app set datestyle = 'SQL, DMY'")
    hamburg.cut(berlin)
    hamburg.heal(berlin)
    try:
        berlin.sql("insert into patients values (1, '2024-05-06')")
        assert mesh.equal("select born from patients")
    finally:
        hamburg.server.stop()
        hamburg.server.start()
        hamburg.server.sql("alter database app reset all", database="postgres")
