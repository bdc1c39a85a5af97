"""The event format between capture and merge, as replication/DESIGN.md describes it."""

from typing import Any

from tests.postgres.mesh import Mesh, Site

EVENTS = (
    "select kind, version, base, bases, content from multiserver.journal join multiserver.tables t using (table_id)"
    " where t.name = %s order by version"
)


def events(site: Site, table: str) -> list[Any]:
    return site.admin(EVENTS, [f"public.{table}"])


def test_an_event_tells_the_version_that_its_key_had_before(berlin: Site) -> None:
    berlin.sql("create table bases (id integer primary key, note text)")
    berlin.sql("insert into bases values (1, 'a')")
    berlin.sql("update bases set note = 'b'")
    berlin.sql("delete from bases")
    berlin.sql("insert into bases values (1, 'c')")
    found = events(berlin, "bases")
    assert [(kind, content) for kind, _, _, _, content in found] == [
        ("I", "(1,a)"),
        ("U", "(1,b)"),
        ("D", "(1)"),
        ("I", "(1,c)"),
    ]
    assert [base for _, _, base, _, _ in found] == [None, *(version for _, version, _, _, _ in found[:-1])]
    assert {bases for _, _, _, bases, _ in found} == {None}


def test_rows_of_one_statement_share_an_event_and_tell_their_bases_if_they_differ(berlin: Site) -> None:
    berlin.sql("create table shared (id integer primary key, note text)")
    berlin.sql("insert into shared values (1, 'a'), (2, 'a')")
    berlin.sql("update shared set note = 'b'")
    berlin.sql("insert into shared values (2, 'c'), (3, 'c') on conflict (id) do update set note = 'c'")
    berlin.sql("insert into shared values (4, 'd')")
    berlin.sql("update shared set note = 'e' where id in (3, 4)")
    found = events(berlin, "shared")
    inserted, updated, upserted, upserted_other, single, last = (
        (version, base, bases) for _, version, base, bases, _ in found
    )
    assert inserted[1:] == (None, None)
    assert updated[1:] == (inserted[0], None)
    assert {upserted[1:], upserted_other[1:]} == {(None, None), (updated[0], None)}
    assert single[1:] == (None, None)
    assert sorted(last[2]) == sorted([upserted_other[0], single[0]])


def test_one_row_is_the_content_and_several_are_the_contents(berlin: Site) -> None:
    berlin.sql("create table counted (id integer primary key, note text)")
    berlin.sql("insert into counted values (1, 'a')")
    berlin.sql("insert into counted values (2, 'b'), (3, null)")
    berlin.sql("delete from counted where id > 1")
    query = EVENTS.replace("base, bases, content", "content, contents")
    assert [found[2:] for found in berlin.admin(query, ["public.counted"])] == [
        ("(1,a)", None),
        (None, ["(2,b)", "(3,)"]),
        (None, ["(2)", "(3)"]),
    ]


def test_a_row_whose_register_row_was_collected_is_captured_like_any_other(berlin: Site) -> None:
    berlin.sql("create table forgotten (id integer primary key, note text)")
    berlin.sql("insert into forgotten values (1, 'a'), (2, 'a'), (3, 'a')")
    register = "select multiserver.register_of(table_id)::text from multiserver.tables where name = 'public.forgotten'"
    berlin.admin(f"delete from {berlin.admin(register)[0]}")
    berlin.sql("update forgotten set note = 'b' where id = 1")
    berlin.sql("delete from forgotten where id = 2")
    berlin.sql("update forgotten set id = 4 where id = 3")
    berlin.sql("update forgotten set note = 'c' where id = 9")
    assert [(kind, base, content) for kind, _, base, _, content in events(berlin, "forgotten")[1:]] == [
        ("U", None, "(1,b)"),
        ("D", None, "(2)"),
        ("D", None, "(3)"),
        ("U", None, "(4,a)"),
    ]


def test_a_merged_row_has_the_base_of_its_writer(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table carried (id integer primary key, note text)")
    berlin.sql("insert into carried select n, 'a' from generate_series(1, 3) n")
    mesh.drain()
    hamburg.sql("update carried set note = 'b' where id = 2")
    mesh.drain()
    berlin.sql("update carried set note = 'c'")
    mesh.drain()
    berlin.sql("delete from carried where id > 1")
    mesh.equal("select * from carried order by id")
    mesh.assert_registers_equal()
