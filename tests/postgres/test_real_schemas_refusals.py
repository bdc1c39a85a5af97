"""What the engine refuses in the schemas of real applications: each time with the object's name and the way out."""

import re

import psycopg
import pytest

from multiserver.postgres.connect import connect
from multiserver.postgres.errors import StatementFailed
from multiserver.replication.pull import pull
from tests.postgres.mesh import Mesh, Site, as_peer
from tests.postgres.servers import eventually
from tests.postgres.test_conflicts import cut_off

REASON = "select reason from multiserver.unreplicated_tables where name = %s"


def warnings_of(site: Site, statement: str) -> list[str]:
    """Return what a session is warned of."""
    heard: list[str] = []
    with psycopg.connect(site.server.connect("app", "app").info.dsn, autocommit=True) as session:
        session.add_notice_handler(lambda notice: heard.append(f"{notice.sqlstate}: {notice.message_primary}"))
        session.execute(statement)
    return heard


@pytest.mark.parametrize(
    ("name", "columns", "reason"),
    [
        (
            "log_x",
            "(at date not null, nr integer not null, unique (at, nr))",
            "table public.log_x has no primary key: add one (ALTER TABLE public.log_x ADD PRIMARY KEY (at, nr)), "
            "or exclude it",
        ),
        (
            "log_serial",
            "(id serial, code text unique)",
            "table public.log_serial has no primary key: add one (ALTER TABLE public.log_serial ADD PRIMARY KEY (id)), "
            "or exclude it",
        ),
        (
            "log_none",
            "(code text unique)",
            "table public.log_none has no primary key: add one (ALTER TABLE public.log_none ADD PRIMARY KEY (...)), "
            "or exclude it",
        ),
        (
            "no_overlap",
            "(id integer primary key, during int4range, exclude using gist (during with &&))",
            "EXCLUDE with operator && is not supported: drop constraint no_overlap_during_excl of table "
            "public.no_overlap or use a trigger, or exclude the table",
        ),
        (
            "one_guest",
            "(id integer primary key, room integer, during int4range,"
            " exclude using gist (room with =, during with &&))",
            "EXCLUDE with operator && is not supported: drop constraint one_guest_room_during_excl of table "
            "public.one_guest or use a trigger, or exclude the table",
        ),
        (
            "late_key",
            "(id integer primary key deferrable)",
            "primary key late_key_pkey of table public.late_key is DEFERRABLE: replace it (ALTER TABLE public.late_key "
            "DROP CONSTRAINT late_key_pkey, ADD CONSTRAINT late_key_pkey PRIMARY KEY (id)), or exclude the table",
        ),
        (
            "late_rule",
            "(id integer primary key, n integer unique deferrable initially deferred)",
            "unique constraint late_rule_n_key of table public.late_rule is DEFERRABLE: replace it (ALTER TABLE "
            "public.late_rule DROP CONSTRAINT late_rule_n_key, ADD CONSTRAINT late_rule_n_key UNIQUE (n)), or exclude "
            "the table",
        ),
        (
            "late_exclude",
            "(id integer primary key, n integer, exclude using hash (n with =) where (n > 0) deferrable)",
            "EXCLUDE constraint late_exclude_n_excl of table public.late_exclude is DEFERRABLE: replace it (ALTER "
            "TABLE public.late_exclude DROP CONSTRAINT late_exclude_n_excl, ADD CONSTRAINT late_exclude_n_excl EXCLUDE "
            "USING hash (n WITH =) WHERE ((n > 0))), or exclude the table",
        ),
    ],
)
def test_tables_whose_rows_stay_are_named_with_the_cure(
    mesh: Mesh, berlin: Site, hamburg: Site, name: str, columns: str, reason: str
) -> None:
    berlin.sql("create extension if not exists btree_gist")
    assert warnings_of(berlin, f"create table {name} {columns}") == [f"MS010: rows will stay at this site: {reason}"]
    mesh.drain()
    assert [site.admin(REASON, [f"public.{name}"]) for site in mesh] == [[reason]] * 3
    berlin.sql(f"drop table {name}")
    assert berlin.admin(REASON, [f"public.{name}"]) == []


@pytest.mark.parametrize(
    ("name", "columns", "cure"),
    [
        (
            "by_the_hour",
            "(id integer primary key, during int4range, exclude using gist (during with &&))",
            "drop constraint by_the_hour_during_excl of table public.by_the_hour",
        ),
        (
            "by_the_room",
            "(id integer primary key, room integer, during int4range,"
            " exclude using gist (room with =, during with &&))",
            "drop constraint by_the_room_room_during_excl of table public.by_the_room",
        ),
        ("key_later", "(id integer primary key deferrable)", None),
        ("rule_later", "(id integer primary key, n integer, unique (n) deferrable initially deferred)", None),
        (
            "exclude_later",
            "(id integer primary key, n integer, exclude using hash (n with =) where (n > 0) deferrable)",
            None,
        ),
    ],
)
def test_rows_stay_until_the_cure_that_was_told_is_run(
    mesh: Mesh, berlin: Site, hamburg: Site, name: str, columns: str, cure: str | None
) -> None:
    berlin.sql("create extension if not exists btree_gist")
    berlin.sql(f"create table {name} {columns}")
    berlin.sql(f"insert into {name} values (1)")
    mesh.drain()
    hamburg.sql(f"insert into {name} values (2)")
    mesh.drain()
    assert [site.sql(f"select id from {name}") for site in mesh] == [[1], [2], []]

    [reason] = berlin.admin(REASON, [f"public.{name}"])
    if cure is None:
        [statement] = re.findall(r"replace it \((.*)\), or exclude", reason)
    else:
        assert f": {cure} or " in reason
        constraint, _, table = cure.partition(" of table ")
        statement = f"alter table {table} {constraint}"
    berlin.sql(statement)
    berlin.sql(f"insert into {name} values (3)")
    assert mesh.equal(f"select id from {name} order by id") == [1, 2, 3]
    assert [site.admin(REASON, [f"public.{name}"]) for site in mesh] == [[], [], []]


def test_an_unlogged_table(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    cure = "ALTER TABLE public.quick SET LOGGED"
    reason = f"table public.quick is UNLOGGED: {cure}, or exclude it"
    assert warnings_of(berlin, "create unlogged table quick (id integer primary key)") == [
        f"MS010: rows will stay at this site: {reason}"
    ]
    berlin.sql("insert into quick values (1)")
    mesh.drain()
    assert hamburg.sql("select count(*) from quick") == [0]
    assert [site.admin(REASON, ["public.quick"]) for site in mesh] == [[reason]] * 3
    berlin.sql(cure)
    assert mesh.equal("select id from quick") == [1]
    assert [site.admin(REASON, ["public.quick"]) for site in mesh] == [[], [], []]


def test_the_cure_for_a_missing_key_is_a_statement_that_works(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table by_index (nr integer not null, at date not null)")
    berlin.sql('create unique index "The Key" on by_index (nr, at)')
    berlin.sql("insert into by_index values (1, '2026-01-01')")
    cure = 'ALTER TABLE public.by_index ADD PRIMARY KEY USING INDEX "The Key"'
    assert berlin.admin(REASON, ["public.by_index"]) == [
        f"table public.by_index has no primary key: add one ({cure}), or exclude it"
    ]
    berlin.sql(cure)
    mesh.drain()
    hamburg.sql("insert into by_index values (2, '2026-01-01')")
    assert mesh.equal("select nr from by_index order by nr") == [1, 2]
    mesh.assert_registers_equal()


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("keyed", "drop constraint keyed_pkey", "table public.keyed has no primary key"),
        ("logged", "set unlogged", "table public.logged is UNLOGGED"),
        ("placed", "add exclude using gist (during with &&)", "EXCLUDE with operator && is not supported"),
        (
            "numbered",
            "add unique (nr) deferrable",
            "unique constraint numbered_nr_key of table public.numbered is DEFERRABLE",
        ),
    ],
)
def test_a_replicated_table_does_not_become_one_that_cannot_be(
    mesh: Mesh, berlin: Site, name: str, change: str, reason: str
) -> None:
    berlin.sql(f"create table {name} (id integer primary key, nr integer, during int4range)")
    mesh.drain()
    with pytest.raises(psycopg.DatabaseError) as refused:
        berlin.sql(f"alter table {name} {change}")
    assert refused.value.diag.sqlstate == "MS010"
    assert reason in (refused.value.diag.message_primary or "")
    berlin.sql(f"insert into {name} values (1)")
    assert mesh.equal(f"select id from {name}") == [1], "it is replicated as before"


@pytest.mark.parametrize(
    ("name", "columns", "key"),
    [
        ("by_identity", "(nr integer generated always as identity, code text unique)", "(nr)"),
        ("by_uuid", "(reference uuid default gen_random_uuid(), code text unique)", "(reference)"),
        ("by_name", "(id text, code text unique)", "(id)"),
        ("by_part", "(code text not null, note text)", "(...)"),
    ],
)
def test_what_could_be_the_key_is_told_in_any_schema(berlin: Site, name: str, columns: str, key: str) -> None:
    table = f'"Audit".{name}'
    berlin.sql(f'create schema if not exists "Audit"; create table {table} {columns}')
    berlin.sql(f"create unique index on {table} (lower(code)) where code <> ''")
    assert berlin.admin(REASON, [table]) == [
        f"table {table} has no primary key: add one (ALTER TABLE {table} ADD PRIMARY KEY {key}), or exclude it"
    ]


def test_columns_that_hold_large_objects_are_told_apart_from_those_that_hold_a_tableoid(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    berlin.sql("create table storagearea (id integer primary key, content oid)")
    berlin.sql("create table backend_log (id integer primary key, source_table oid)")
    berlin.sql("insert into backend_log values (1, 'storagearea'::regclass)")
    assert berlin.admin(REASON, ["public.backend_log"]) == []
    berlin.sql("insert into storagearea values (1, lo_from_bytea(0, 'scan'))")
    expected = (
        "column storagearea.content (oid) holds large objects; their content is not replicated: use bytea or exclude"
    )
    assert berlin.admin(REASON, ["public.storagearea"]) == [expected]
    assert berlin.admin(REASON, ["public.backend_log"]) == []
    mesh.drain()
    berlin.sql("select lo_unlink(content) from storagearea")
    assert berlin.admin(REASON, ["public.storagearea"]) == []


def test_a_sequence_with_too_few_numbers_for_all_sites(berlin: Site) -> None:
    with pytest.raises(psycopg.DatabaseError) as refused:
        berlin.sql("create sequence small_s maxvalue 60")
    assert refused.value.diag.sqlstate == "MS020"
    assert refused.value.diag.message_primary == (
        "sequence public.small_s: 64 sites need at least 2 ids each, column is bigint: only 60 left"
    )
    assert "numberRanges" in (refused.value.diag.message_hint or "")
    with pytest.raises(psycopg.DatabaseError, match=r"sequence public\.full_s: .* column is integer: only 20 left"):
        berlin.sql(
            "create table fed_by_s (id integer generated by default as identity"
            " (sequence name full_s minvalue 2147483628 maxvalue 2147483647) primary key)"
        )


PARKED_REASONS = (
    "select p.reason from multiserver.parked p join multiserver.tables t using (table_id) where t.name = %s"
)


def alter_by_hand(site: Site, statement: str) -> None:
    """Do what a superuser can, past the engine. A parked row whose time has not come is tried again soon."""
    site.admin(f"set event_triggers = off; {statement}; reset event_triggers")
    site.admin("update multiserver.parked set next_try = clock_timestamp()")


def refusal_of(site: Site, statement: str) -> str:
    """Return why a write is refused that would send rows of other columns."""
    with pytest.raises(psycopg.DatabaseError) as refused:
        site.sql(statement)
    assert refused.value.diag.sqlstate == "MS013"
    return refused.value.diag.message_primary or ""


def test_a_column_that_is_missing_at_one_site_stops_its_own_rows_only(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    """Somebody has migrated one site by hand, past the engine. Rows wait there, with words; other tables go on."""
    berlin.sql("create table halved (id integer primary key, y text)")
    berlin.sql("create table whole (id integer primary key)")
    berlin.sql("insert into halved values (9, 'y of before')")
    mesh.drain()
    expected = (
        "column y is missing at site hamburg: migrated at site berlin only? "
        "Replication of table public.halved waits; other tables go on"
    )
    alter_by_hand(hamburg, "alter table halved drop column y")
    berlin.sql("insert into halved values (1, 'kept')")
    berlin.sql("insert into whole values (1)")
    eventually(lambda: hamburg.sql("select id from whole") == [1], "other tables go on")
    assert hamburg.admin(PARKED_REASONS, ["public.halved"]) == [expected]
    assert hamburg.sql("select count(*) from halved") == [1]
    assert hamburg.admin(REASON, ["public.halved"]) == [expected]
    assert refusal_of(hamburg, "insert into halved values (2)") == expected
    assert refusal_of(hamburg, "update halved set id = 3") == expected
    hamburg.sql("insert into whole values (2)")
    alter_by_hand(hamburg, "alter table halved add column y text")
    hamburg.sql("insert into halved values (2, 'from hamburg')")
    mesh.drain()
    assert hamburg.admin(PARKED_REASONS, ["public.halved"]) == []
    assert mesh.equal("select id from whole order by id") == [1, 2]
    assert mesh.equal("select * from halved where id < 9 order by id") == [(1, "kept"), (2, "from hamburg")]
    assert berlin.sql("select y from halved where id = 9") == ["y of before"], "no other site lost what hamburg dropped"
    berlin.sql("update halved set y = y || '!' where id = 9")
    assert mesh.equal("select y from halved where id = 9") == ["y of before!"]


def test_a_column_that_is_at_one_site_only_stops_its_own_rows_only(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table broadened (id integer primary key, y text unique)")
    berlin.sql("create table broadened_log (at text)")
    berlin.sql("create table beside (id integer primary key)")
    berlin.sql("insert into broadened values (1, 'old'), (2, 'old too')")
    mesh.drain()
    expected = (
        "column z is at site hamburg only: drop it there. Replication of table public.{} waits; other tables go on"
    )
    alter_by_hand(hamburg, "alter table broadened add column z text; alter table broadened_log add column z text")
    berlin.sql("insert into broadened values (3, 'new')")
    berlin.sql("update broadened set y = 'changed' where id = 1")
    berlin.sql("delete from broadened where id = 2")
    berlin.sql("insert into broadened_log values ('now')")
    berlin.sql("insert into beside values (1)")
    eventually(lambda: hamburg.sql("select id from beside") == [1], "other tables go on")
    assert set(hamburg.admin(PARKED_REASONS, ["public.broadened"])) == {expected.format("broadened")}
    assert set(hamburg.admin(PARKED_REASONS, ["public.broadened_log"])) == {expected.format("broadened_log")}
    assert refusal_of(hamburg, "insert into broadened values (4, 'four', 'z')") == expected.format("broadened")
    assert refusal_of(hamburg, "insert into broadened_log values ('here')") == expected.format("broadened_log")
    hamburg.sql("insert into beside values (2)")
    alter_by_hand(hamburg, "alter table broadened drop column z; alter table broadened_log drop column z")
    hamburg.sql("insert into broadened values (4, 'four')")
    mesh.drain()
    assert hamburg.admin("select count(*) from multiserver.parked") == [0]
    assert mesh.equal("select id from beside order by id") == [1, 2]
    assert mesh.equal("select * from broadened order by id") == [(1, "changed"), (3, "new"), (4, "four")]
    assert mesh.equal("select at from broadened_log") == ["now"]


def test_no_value_lands_in_another_column_that_took_the_place_of_its_own(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    """The number of columns is right, so PostgreSQL would read the row without a word."""
    berlin.sql("create table swapped (id integer primary key, y text)")
    mesh.drain()
    alter_by_hand(hamburg, "alter table swapped drop column y, add column z text")
    berlin.sql("insert into swapped values (1, 'a value of y')")
    eventually(lambda: len(hamburg.admin(PARKED_REASONS, ["public.swapped"])) == 1, "the row waits")
    berlin.sql("alter table swapped add column w text default 'w'")  # What merges is written anew there.
    berlin.sql("insert into swapped values (2, 'another value of y', 'w')")
    eventually(lambda: len(hamburg.admin(PARKED_REASONS, ["public.swapped"])) == 2, "this one, too")
    assert hamburg.sql("select id from swapped") == []
    assert "column y is missing at site hamburg" in refusal_of(hamburg, "insert into swapped values (3, 'of z')")
    alter_by_hand(hamburg, "alter table swapped rename column z to y")
    mesh.drain()
    assert hamburg.admin(PARKED_REASONS, ["public.swapped"]) == []
    expected = [(1, "a value of y", "w"), (2, "another value of y", "w")]
    assert mesh.equal("select id, y, w from swapped order by id") == expected


def test_columns_in_another_order_are_told_with_both_orders(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table ordered (id integer primary key, x text, y text)")
    mesh.drain()
    alter_by_hand(hamburg, "alter table ordered drop column x; alter table ordered add column x text")
    berlin.sql("insert into ordered values (1, 'x', 'y')")
    expected = (
        "the columns at site hamburg are in another order (id, y, x) than at the other sites (id, x, y). "
        "Replication of table public.ordered waits; other tables go on"
    )
    eventually(lambda: hamburg.admin(PARKED_REASONS, ["public.ordered"]) == [expected], "the row waits")
    alter_by_hand(hamburg, "alter table ordered drop column y; alter table ordered add column y text")
    mesh.drain()
    assert mesh.equal("select id, x, y from ordered") == [(1, "x", "y")]


@pytest.mark.parametrize(
    ("name", "partitions"),
    [("kept_plans", ""), ("kept_plans_of_parts", "partition by range (id)")],
)
def test_a_session_that_wrote_before_is_refused_too_where_columns_were_altered_by_hand(
    mesh: Mesh, berlin: Site, name: str, partitions: str
) -> None:
    """Its plans are kept, its snapshot may be old; and at the schema site no peer is to blame."""
    berlin.sql(f"create table {name} (id serial, y text, primary key (id)) {partitions}")
    if partitions:
        berlin.sql(f"create table {name}_all partition of {name} default")
    mesh.drain()
    insert = f"insert into {name} (y) values (%s)".encode()
    with (
        psycopg.connect(berlin.server.connect("app", "app").info.dsn, autocommit=True) as session,
        psycopg.connect(berlin.server.connect("app", "app").info.dsn) as old,
    ):
        for _ in range(10):
            session.execute(insert, ["before"])
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select count(*) from pg_class")
        alter_by_hand(berlin, f"alter table {name} add column z text")
        added = "column z was added at site berlin with event triggers off"
        for late in (old, session):
            with pytest.raises(psycopg.DatabaseError, match=added):
                late.execute(insert, ["not sent"])
        old.rollback()
        alter_by_hand(berlin, f"alter table {name} drop column z, drop column y")
        with pytest.raises(psycopg.DatabaseError, match="column y was dropped at site berlin with event triggers off"):
            session.execute(f"insert into {name} values (default)".encode())
        alter_by_hand(berlin, f"alter table {name} add column y text")
        session.execute(insert, ["after"])
        old.execute(insert, ["after"])
    berlin.sql(f"update {name} set y = 'of berlin' where y is null")
    query = f"select count(*), count(*) filter (where y = 'after'), count(*) filter (where y = 'of berlin') from {name}"
    assert mesh.equal(query) == [(12, 2, 10)]


async def test_a_pull_brings_all_tables_but_one_that_was_altered_by_hand(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    berlin.sql("create table a_altered (id integer primary key, y text)")
    berlin.sql("create table b_well (id integer primary key)")
    mesh.drain()
    with cut_off(mesh):
        berlin.sql("insert into a_altered values (1, 'y'); insert into b_well values (1)")
        alter_by_hand(berlin, "alter table a_altered add column z text")
        async with connect(hamburg.target()) as own, connect(as_peer(berlin)) as peer:
            with pytest.raises(StatementFailed, match="column z was added at site berlin"):
                await pull(own, peer)
        assert hamburg.sql("select id from b_well") == [1]
        assert hamburg.sql("select id from a_altered") == []
        alter_by_hand(berlin, "alter table a_altered drop column z")
    assert mesh.equal("select * from a_altered") == [(1, "y")]


def test_asking_whether_columns_fit_costs_nothing_for_each_row(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table asked_about (id serial primary key)")
    with psycopg.connect(berlin.server.connect("app", "postgres").info.dsn) as session:
        session.execute("set track_functions = 'all'")
        for _ in range(200):
            session.execute("insert into asked_about default values")
        calls = "select calls from pg_stat_xact_user_functions where funcname = 'columns_fit'"
        [(asked,)] = session.execute(calls).fetchall()
    assert 0 < asked < 30, "while statements are planned, until their plans are kept"
