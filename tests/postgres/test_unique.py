"""Rows with different keys and one unique value: the later one stands, the other is parked, nothing is lost."""

from tests.postgres.mesh import Mesh, Site
from tests.postgres.test_conflicts import cut_off

PARKED = (
    "select key from multiserver.parked p join multiserver.tables t using (table_id) where t.name = %s order by key"
)


def parked(mesh: Mesh, table: str) -> list[str]:
    answers = [site.admin(PARKED, [table]) for site in mesh]
    assert answers.count(answers[0]) == len(answers), answers
    return answers[0]


def test_the_later_of_two_rows_with_one_unique_value_stands(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table users (id integer primary key, login text unique)")
    with cut_off(mesh):
        berlin.sql("insert into users values (1, 'anna')")
        hamburg.sql("insert into users values (2, 'anna')")
    assert mesh.equal("select * from users") == [(2, "anna")]
    assert parked(mesh, "public.users") == ["(1)"]


def test_a_parked_row_returns_when_its_value_is_free(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    berlin.sql("create table badges (id integer primary key, number integer unique)")
    with cut_off(mesh):
        berlin.sql("insert into badges values (1, 7)")
        hamburg.sql("insert into badges values (2, 7)")
    mesh.drain()
    leipzig.sql("update badges set number = 8 where id = 2")
    assert mesh.equal("select * from badges order by id") == [(1, 7), (2, 8)]
    assert parked(mesh, "public.badges") == []


def test_a_parked_row_that_is_deleted_stays_away(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql("create table seats (id integer primary key, place text unique)")
    with cut_off(mesh):
        berlin.sql("insert into seats values (1, 'a')")
        hamburg.sql("insert into seats values (2, 'a')")
        berlin.sql("delete from seats where id = 1")
    mesh.drain()
    hamburg.sql("delete from seats")
    assert mesh.equal("select * from seats") == []
    assert parked(mesh, "public.seats") == []


def test_partial_expression_and_nulls_not_distinct_indexes(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    berlin.sql(
        "create table people (id integer primary key, email text, gone boolean not null default false, desk integer)"
    )
    berlin.sql("create unique index on people (lower(email)) where not gone")
    berlin.sql("create unique index on people (desk) nulls not distinct")
    with cut_off(mesh):
        berlin.sql("insert into people values (1, 'A@x', false, 1), (3, 'c@x', true, 3), (5, 'e@x', false, null)")
        hamburg.sql("insert into people values (2, 'a@X', false, 2), (4, 'C@x', false, 4), (6, 'f@x', false, null)")
    assert mesh.equal("select id from people order by id") == [2, 3, 4, 6]
    assert parked(mesh, "public.people") == ["(1)", "(5)"]


def test_chains_of_collisions_end_equal(mesh: Mesh, berlin: Site) -> None:
    berlin.sql("create table chain (id integer primary key, x integer unique, y integer unique)")
    with cut_off(mesh):
        for step in range(4):
            for number, site in enumerate(mesh):
                site.sql("insert into chain values (%s, %s, %s)", [10 * step + number, step + number, step - number])
    mesh.equal("select * from chain order by id")
    parked(mesh, "public.chain")
