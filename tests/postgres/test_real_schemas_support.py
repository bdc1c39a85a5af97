"""What the schemas of real applications contain and the engine supports, a test for each line of the survey.

How they change has test_real_schemas_changes.py, inheritance has test_hierarchies.py, tables without key
test_tables_without_key.py, exclusion by name test_local_tables.py, orphans and deferrable foreign keys test_orphans.py.
"""

import threading
from itertools import pairwise

import psycopg
import pytest

from multiserver.replication.links import link_name
from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_conflicts import cut_off
from tests.postgres.test_schema import shape
from tests.postgres.test_unique import parked

KEYS = {
    "text": ["'a '' \" \\ b'", "''", "'é'"],
    "varchar(20)": ["'x'", "' x'"],
    "char(4)": ["'ab'", "'b'"],
    "uuid": ["'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    "numeric": ["1.0", "1.50", "'NaN'"],
    "timestamptz": ["'2024-02-29 23:59:60+13'", "'infinity'"],
    "date": ["'4000-01-01 BC'", "'-infinity'"],
    "bytea": ["'\\x00ff'", "''"],
    "smallint": ["-32768", "32767"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "double precision": ["'-0'", "'NaN'", "1e-300"],
    "oid": ["0", "4294967295"],
    "inet": ["'10.0.0.1/8'", "'::1'"],
    "boolean": ["true", "false"],
    "interval": ["'1 mon -3 days'", "'00:00:01'"],
    "int4range": ["'[1,5)'", "'empty'"],
    "integer[]": ["'{1,null}'", "'[2:3]={4,5}'", "'{}'"],
    "jsonb": ['\'{"b": 1.0, "a": [null, "x\\"y"]}\'', "'\"\"'", "'{}'"],
    "key_pair": ["row(1, 'a, \"b\"')", "row(1, null)", "row(2, '')"],
    "text collate without_case": ["'Ä'", "'b B'"],
}


def make_key_types(mesh: Mesh) -> None:
    """Make the types of keys that are not there; a collation does not travel, so it is made at every site."""
    mesh.sites[0].sql("create type key_pair as (n integer, words text)")
    for site in mesh:
        site.admin(
            "set event_triggers = off; create collation public.without_case"
            " (provider = icu, locale = 'und-u-ks-level2', deterministic = false); reset event_triggers"
        )


@pytest.fixture(scope="session")
def key_types(mesh: Mesh) -> None:
    make_key_types(mesh)


@pytest.mark.usefixtures("key_types")
@pytest.mark.parametrize("key_type", KEYS)
def test_keys_of_any_type(mesh: Mesh, berlin: Site, hamburg: Site, key_type: str) -> None:
    name = "key_" + "".join(letter for letter in key_type if letter.isalnum())
    berlin.sql(f"create table {name} (k {key_type} primary key, note text)")
    for value in KEYS[key_type]:
        berlin.sql(f"insert into {name} values ({value}, 'berlin')")
    mesh.drain()
    hamburg.sql(f"update {name} set note = 'hamburg'")
    rows = mesh.equal(f"select k::text, note from {name} order by 1")
    assert [note for _, note in rows] == ["hamburg"] * len(KEYS[key_type])
    hamburg.sql(f"delete from {name} where k = (select k from {name} order by k limit 1)")
    assert len(mesh.equal(f"select k::text from {name} order by 1")) == len(rows) - 1
    mesh.assert_registers_equal()


@pytest.mark.usefixtures("key_types")
def test_keys_that_a_collation_holds_to_be_equal_are_one_key(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table words (k text collate without_case primary key, note text)")
    with cut_off(mesh):
        berlin.sql("insert into words values ('Ähre', 'berlin')")
        hamburg.sql("insert into words values ('ähre', 'hamburg')")
    assert mesh.equal("select k, note from words") == [("ähre", "hamburg")]
    berlin.sql("drop table words")  # the registers keep the spelling that they saw first


def test_a_name_that_several_schemas_have(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    schemas = [f'"Mandant {number}"' for number in range(13)]
    for schema in schemas:
        berlin.sql(
            f"create schema {schema}; create table {schema}.patient (id integer primary key, name text);"
            f'create sequence {schema}."Order-Nr" as integer'
        )
    mesh.drain()
    for number, schema in enumerate(schemas):
        (berlin, hamburg)[number % 2].sql(f"insert into {schema}.patient values (1, 'of {number}')")
    mesh.drain()
    for number, schema in enumerate(schemas):
        assert mesh.equal(f"select * from {schema}.patient") == [(1, f"of {number}")]
        drawn = [site.sql(f"select nextval('{schema}.\"Order-Nr\"')")[0] for site in mesh]
        assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("schema", ["Praxis-Süd", "select", "a.b"])
def test_names_with_hyphens_capitals_and_reserved_words_in_several_schemas(
    mesh: Mesh, berlin: Site, hamburg: Site, schema: str
) -> None:
    table = f'"{schema}"."Order-Line {{x}}"'
    berlin.sql(f'create schema "{schema}"')
    berlin.sql(
        f'create table {table} ("user" text, "Group-Nr" integer, "from" text unique, "%s" text, "qu""ote" integer,'
        ' primary key ("user", "Group-Nr"))'
    )
    mesh.drain()
    hamburg.sql(f"insert into {table} values ('a', 1, 'x', 'y', 2), ('a', 2, 'z', null, 3)")
    mesh.drain()
    berlin.sql(f'update {table} set "from" = \'new\', "qu""ote" = 9 where "Group-Nr" = 1')
    berlin.sql(f'delete from {table} where "Group-Nr" = 2')
    assert mesh.equal(f"select * from {table}") == [("a", 1, "new", "y", 9)]
    assert shape(mesh, table)


def test_keys_of_as_many_columns_as_an_index_can_have(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    columns = [f"c{n}" for n in range(1, 33)]
    berlin.sql(
        f"create table wide_key ({', '.join(f'{c} text' for c in columns)}, note text, primary key"
        f" ({', '.join(reversed(columns))}))"
    )
    berlin.sql(f"insert into wide_key values ({', '.join(repr(c) for c in columns)}, 'a')")
    mesh.drain()
    hamburg.sql("update wide_key set note = 'b', c1 = 'one'")
    assert mesh.equal("select c1, c32, note from wide_key") == [("one", "c32", "b")]
    mesh.drain()
    berlin.sql("delete from wide_key")
    assert mesh.equal("select count(*) from wide_key") == [0]
    mesh.assert_registers_equal()


def test_a_row_with_a_long_key_is_parked_and_logged_as_any_other(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """The text of the key is too long for an index of its own."""
    berlin.sql("create table long_keys (k bytea primary key, u text unique)")
    long_key = "(select string_agg(uuid_send(gen_random_uuid()), '') from generate_series(1, 88))"
    with cut_off(mesh):
        berlin.sql(f"insert into long_keys values ({long_key}, 'same')")
        hamburg.sql(f"insert into long_keys values ({long_key}, 'same')")
    assert mesh.equal("select length(k) from long_keys") == [88 * 16]
    assert len(parked(mesh, "public.long_keys")) == 1
    berlin.sql("insert into long_keys values ('', 'the link goes on')")
    hamburg.sql("update long_keys set u = 'another' where u = 'same'")
    assert mesh.equal("select u from long_keys order by u") == ["another", "same", "the link goes on"]
    assert parked(mesh, "public.long_keys") == []
    mesh.assert_registers_equal()
    with cut_off(mesh):
        berlin.sql("update long_keys set u = 'lost' where u = 'another'")
        hamburg.sql("update long_keys set u = 'kept' where u = 'another'")
    assert mesh.equal("select u from long_keys order by u") == ["kept", "same", "the link goes on"]
    lost = (
        "select length(key) > 2700 from multiserver.conflicts where losing_image like '%%,lost)'"
        " and table_id = (select table_id from multiserver.tables where name = 'public.long_keys')"
    )
    assert True in [found for site in mesh for found in site.admin(lost)]


def test_nothing_is_added_to_the_applications_tables_but_triggers(mesh: Mesh, berlin: Site) -> None:
    """GNUmed's client hashes tables, columns and constraints."""
    table = "(id integer primary key, name text not null unique, born date check (born > '1900-01-01'))"
    seen = (
        "select (select jsonb_agg(to_jsonb(x)) from (select attname, attnum, attnotnull, atthasdef, attoptions from"
        " pg_attribute where attrelid = '{0}'::regclass order by attnum) x),"
        " (select jsonb_agg(jsonb_build_array(conname, pg_get_constraintdef(oid)) order by conname)"
        " from pg_constraint where conrelid = '{0}'::regclass),"
        " (select jsonb_agg(pg_get_indexdef(indexrelid) order by indexrelid::regclass::text)"
        " from pg_index where indrelid = '{0}'::regclass),"
        " (select jsonb_build_array(relreplident, reloptions, relacl, relrowsecurity) from pg_class"
        " where oid = '{0}'::regclass)"
    )
    berlin.sql(f"create table hashed {table}")
    mesh.drain()
    for site in mesh:
        site.admin(f"set event_triggers = off; create table left_alone {table}")
        hashed = site.sql(seen.format("hashed"))[0]
        plain = site.sql(seen.format("left_alone"))[0]
        site.admin("drop table left_alone; reset event_triggers")
        assert [str(part).replace("hashed", "left_alone") for part in hashed] == [str(part) for part in plain], (
            site.name
        )
        triggers = "select tgname from pg_trigger where tgrelid = 'hashed'::regclass and tgname !~ '^multiserver_'"
        assert site.admin(triggers) == []


def test_a_unique_index_without_constraint(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql('create table slots_of_day (id integer primary key, "Day" date, room text)')
    berlin.sql('create unique index on slots_of_day ("Day", upper(room)) where room is not null')
    with cut_off(mesh):
        berlin.sql("insert into slots_of_day values (1, '2026-01-01', 'a'), (3, '2026-01-01', null)")
        hamburg.sql("insert into slots_of_day values (2, '2026-01-01', 'A'), (4, '2026-01-01', null)")
    assert mesh.equal("select id from slots_of_day order by id") == [2, 3, 4]
    assert parked(mesh, "public.slots_of_day") == ["(1)"]


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("by_btree", "exclude using btree (code with =) where (active)"),
        ("by_hash", "exclude using hash (lower(code) with =) where (active)"),
        ("by_two", "exclude using btree (code with =, active with =)"),
    ],
)
def test_exclude_with_equal_is_parked_like_unique(
    mesh: Mesh, berlin: Site, hamburg: Site, name: str, constraint: str
) -> None:
    """Tryton's 28: unique in effect, but neither indisunique nor SQLSTATE 23505 nor ON CONFLICT DO UPDATE."""
    berlin.sql(f"create table {name} (id integer primary key, code text, active boolean default true, {constraint})")
    with cut_off(mesh):
        berlin.sql(f"insert into {name} values (1, 'x')")
        hamburg.sql(f"insert into {name} values (2, 'x')")
    with pytest.raises(psycopg.errors.ExclusionViolation):
        berlin.sql(f"insert into {name} values (9, 'x')")
    assert mesh.equal(f"select id from {name}") == [2]
    assert parked(mesh, f"public.{name}") == ["(1)"]
    hamburg.sql(f"delete from {name}")
    assert mesh.equal(f"select id from {name}") == [1]
    assert parked(mesh, f"public.{name}") == []
    with cut_off(mesh):
        berlin.sql(f"insert into {name} values (3, 'y', false)")
        hamburg.sql(f"insert into {name} values (4, 'y', {'false' if 'where' in constraint else 'true'})")
    assert mesh.equal(f"select id from {name} where code = 'y' order by id") == [3, 4], (
        "these do not exclude each other"
    )
    assert shape(mesh, name)


def test_triggers_and_rules_are_silent_where_rows_are_merged_and_what_they_wrote_travels(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    berlin.sql("create table prescriptions (id integer primary key, drug text, site text)")
    berlin.sql("create table changes (id uuid default gen_random_uuid() primary key, what text)")
    berlin.sql(
        "create function staff_only() returns trigger language plpgsql as $f$ begin"
        " if session_user <> 'app' then raise 'you are not on the staff'; end if;"
        " insert into changes (what) values (tg_op || ' ' || new.drug); return new; end $f$"
    )
    berlin.sql(
        "create trigger audit before insert or update on prescriptions for each row execute function staff_only()"
    )
    berlin.sql(
        "create rule log_gone as on delete to prescriptions do also"
        " insert into changes (what) values ('rule ' || old.drug)"
    )
    mesh.drain()
    hamburg.sql("insert into prescriptions values (1, 'a')")
    mesh.drain()
    berlin.sql("update prescriptions set drug = 'b'")
    mesh.drain()
    hamburg.sql("delete from prescriptions")
    assert mesh.equal("select what from changes order by what") == ["INSERT a", "UPDATE b", "rule b"]
    assert mesh.equal("select rulename from pg_rules where tablename = 'prescriptions'") == ["log_gone"]
    berlin.sql("drop rule log_gone on prescriptions")
    assert mesh.equal("select count(*) from pg_rules where tablename = 'prescriptions'") == [0]


def test_a_row_that_did_not_change_keeps_its_xmin(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table locked_by_xmin (id integer primary key, note text unique, parent integer)")
    berlin.sql("insert into locked_by_xmin select n, 'n' || n from generate_series(1, 5) n")
    mesh.drain()
    before = [site.sql("select xmin::text from locked_by_xmin where id > 1 order by id") for site in mesh]
    hamburg.sql("update locked_by_xmin set note = 'changed' where id = 1")
    mesh.drain()
    with cut_off(mesh):  # a change that loses must not write, either
        berlin.sql("update locked_by_xmin set note = 'old' where id = 1")
        hamburg.sql("update locked_by_xmin set note = 'new' where id = 1")
        kept = hamburg.sql("select xmin::text from locked_by_xmin where id = 1")
    mesh.drain()
    assert hamburg.sql("select xmin::text from locked_by_xmin where id = 1") == kept
    assert [site.sql("select xmin::text from locked_by_xmin where id > 1 order by id") for site in mesh] == before


def test_writers_under_repeatable_read_do_not_disturb_each_other(mesh: Mesh, berlin: Site) -> None:
    """Tryton and GNU Health write so; a counter row of the engine would raise 40001 in all of them but one."""
    berlin.sql("create table isolated (id integer primary key, n integer default 0)")
    berlin.sql("insert into isolated select generate_series(1, 4)")
    mesh.drain()
    sessions = [psycopg.connect(berlin.server.connect("app", "app").info.dsn, autocommit=True) for _ in range(3)]
    for session in sessions:
        session.execute("begin isolation level repeatable read")
        session.execute("select n from isolated where id = 4")
    for number, session in enumerate(sessions, start=1):
        session.execute("update isolated set n = 1 where id = %s", [number])
        session.execute("insert into isolated values (%s)", [number + 10])
    for session in sessions:
        session.execute("commit")
        session.close()
    rows = mesh.equal("select id, n from isolated order by id")
    assert rows == [(1, 1), (2, 1), (3, 1), (4, 0), (11, 0), (12, 0), (13, 0)]


def test_settings_of_the_database_do_not_stall_the_merge(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    settings = {
        "default_transaction_read_only": "on",
        "default_transaction_isolation": "'serializable'",
        "statement_timeout": "'1ms'",
        "datestyle": "'German, DMY'",
        "check_function_bodies": "on",
        "array_nulls": "off",
    }
    berlin.sql("create table dated (id integer primary key, day date, tags text[])")
    mesh.drain()
    for name, value in settings.items():
        hamburg.admin(f"alter database app set {name} = {value}")
    try:
        start_anew(hamburg, berlin)  # only a new worker has the new settings
        berlin.sql("insert into dated values (1, '2026-02-03', '{null,a}')")
        read = "select to_char(day, 'YYYY-MM-DD'), tags from dated"
        eventually(lambda: hamburg.admin(read) == [("2026-02-03", [None, "a"])], "merged")
        berlin.sql(
            "set check_function_bodies = off; create function count_later() returns bigint language sql as"
            " 'select count(*) from not_there_yet'; reset check_function_bodies"
        )
        berlin.sql("alter table dated add column note text")
        made = (
            "select to_regprocedure('count_later()') is not null and exists"
            " (select from pg_attribute where attrelid = 'dated'::regclass and attname = 'note')"
        )
        eventually(lambda: hamburg.admin(made) == [True], "the schema changes, too")
    finally:
        for name in settings:
            hamburg.admin(f"set transaction read write; alter database app reset {name}")
        start_anew(hamburg, berlin)
    mesh.drain()


def start_anew(site: Site, peer: Site) -> None:
    """Let another apply worker take over."""
    query = "select pid from pg_stat_subscription where subname = %s"
    name = [link_name(peer.number)]
    [before] = site.admin(query, name)
    site.cut(peer)
    eventually(lambda: site.admin(query, name) == [None], "the worker has ended")
    site.heal(peer)
    eventually(lambda: site.admin(query, name)[0] not in (None, before), "another worker runs")


def test_a_sequence_that_feeds_no_default_and_one_shared_by_two_tables(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create sequence hibernate_sequence increment 50")
    berlin.sql("create sequence drawn_by_two")
    for table in ("shared_a", "shared_b"):
        berlin.sql(f"create table {table} (id integer primary key default nextval('drawn_by_two') check (id >= 0))")
    mesh.drain()
    drawn = [site.sql("select nextval('hibernate_sequence') from generate_series(1, 3)") for site in mesh]
    assert all(second - first == 50 for numbers in drawn for first, second in pairwise(numbers))
    assert len({number for numbers in drawn for number in numbers}) == 9
    for site in mesh:
        site.sql("insert into shared_a default values")
        site.sql("insert into shared_b default values")
    ids = mesh.equal("select id from shared_a union all select id from shared_b order by id")
    assert len(set(ids)) == 6
    assert all(0 < number < 2**31 for number in ids)


def test_a_sequence_made_at_run_time_by_a_clerk(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """Tryton makes one for each numbering that a clerk sets up."""
    berlin.sql("do $$ begin execute 'create sequence ir_sequence_42 increment 1 minvalue 1'; end $$")
    mesh.drain()
    assert len({site.sql("select nextval('ir_sequence_42')")[0] for site in mesh}) == 3


ODD_VALUES = {
    "a_text": ["''", "'NULL'", "'{\"\\,()}'", "E'line\\nbreak\\ttab'", "repeat('ü', 5000)"],
    "a_json": ['\'{"a": null, "b": [1, "x"]}\'', "'null'", "'\"\\\\u00e9\"'"],
    "a_bytea": ["'\\x'", "'\\x0001ff'", "decode(repeat('00ff', 4000), 'hex')"],
    "a_numeric": ["'NaN'", "'Infinity'", "1e100", "-0.000"],
    "a_double": ["'-0'", "'NaN'", "'-Infinity'", "0.1", "1e-320"],
    "a_time": ["'2024-02-29 12:00:00.123456+05:30'", "'infinity'", "'0044-03-15 BC'"],
    "an_interval": ["'1 year -2 days +03:04:05.6'", "'infinity'"],
    "an_array": ["'{}'", "'{{1,null},{3,4}}'", "'[0:1]={5,6}'"],
    "a_text_array": ["array['', null, 'NULL', '\"', '{}']"],
    "a_range": ["'empty'", "'(,5]'", "'[2026-01-01,infinity)'"][:2],
    "an_enum": ["'a b'", "''''"],
    "a_bits": ["B''", "B'10101'"],
    "an_xid": ["'{\"k\": 1}'"],
    "a_point": ["'(1e-7,NaN)'"],
    "a_tsvector": ["'a:1A ''b c'''"],
    "a_money": ["'-1234.56'"],
}


def test_values_of_every_kind_arrive_as_they_are_and_survive_updates_of_other_columns(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    berlin.sql("create type odd_enum as enum ('a b', '''')")
    berlin.sql(
        "create table odd (id integer generated always as identity primary key, extra integer default 0, a_text text,"
        " a_json jsonb, a_bytea bytea, a_numeric numeric, a_double double precision, a_time timestamptz,"
        " an_interval interval, an_array integer[], a_text_array text[], a_range int4range, an_enum odd_enum,"
        " a_bits bit varying, an_xid json, a_point point, a_tsvector tsvector, a_money money,"
        " made text generated always as (upper(a_text)) stored, virtual integer generated always as (extra * 2))"
    )
    mesh.drain()
    for column, odd_values in ODD_VALUES.items():
        for value in odd_values:
            hamburg.sql(f"insert into odd ({column}) values ({value})")
    all_columns = "select o::text from odd o order by id"
    inserted = mesh.equal(all_columns)
    assert len(inserted) == sum(len(odd_values) for odd_values in ODD_VALUES.values())
    leipzig.sql("update odd set extra = id")  # large values that did not change must come along
    mesh.drain()
    berlin.sql("update odd set a_text = a_text || '!' where a_text is not null")
    mesh.equal(all_columns)
    assert mesh.equal("select bool_and(virtual = 2 * id) from odd") == [True]
    assert mesh.equal("select max(length(made)) from odd") == [5001]
    mesh.assert_registers_equal()


def test_an_identity_always_that_is_not_the_key(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql(
        "create table numbered (code text primary key, nr bigint generated always as identity, note text, unique (nr))"
    )
    mesh.drain()
    for site in mesh:
        site.sql("insert into numbered (code) values (%s)", [site.name])
    mesh.drain()
    before = mesh.equal("select nr from numbered where code = 'hamburg'")
    berlin.sql("update numbered set note = 'x'")
    mesh.drain()
    hamburg.sql("update numbered set nr = default where code = 'hamburg'")
    after = mesh.equal("select nr, note from numbered where code = 'hamburg'")
    assert after[0][1] == "x"
    assert after[0][0] != before[0]
    assert mesh.equal("select count(distinct nr) from numbered") == [3]
    mesh.assert_registers_equal()


def test_serializable_writers_that_try_again_as_they_must(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """SERIALIZABLE asks every application to repeat what fails with 40001; then nothing is lost and nothing doubled."""
    berlin.sql("create table often_tried (id serial primary key, who text)")
    mesh.drain()

    def write(site: Site) -> None:
        with psycopg.connect(site.server.connect("app", "app").info.dsn, autocommit=True) as session:
            for _ in range(20):
                insert_until_it_holds(session)

    def insert_until_it_holds(session: psycopg.Connection) -> None:
        while True:
            try:
                with session.transaction():
                    session.execute("set transaction isolation level serializable")
                    session.execute("insert into often_tried (who) values ('x')")
                return
            except psycopg.errors.SerializationFailure:
                continue

    threads = [threading.Thread(target=write, args=[site]) for site in (berlin, hamburg) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mesh.equal("select count(*), count(distinct id) from often_tried") == [(80, 80)]
