"""Foreign keys and merges: orphans are the same everywhere and listed; deferrable keys work."""

import psycopg
import pytest

from tests.postgres.mesh import Mesh, Site
from tests.postgres.test_conflicts import cut_off

ORPHANS = "select foreign_key, child, child_row, parent, missing from multiserver.orphans() where child like %s"


def test_a_child_whose_parent_was_deleted_elsewhere_is_listed_at_every_site(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    berlin.sql('create table "Patients" (id integer, region text, primary key (id, region))')
    berlin.sql(
        "create table stays (id integer primary key, patient integer, region text,"
        ' foreign key (patient, region) references "Patients")'
    )
    berlin.sql("insert into \"Patients\" values (1, 'n'), (2, 's')")
    mesh.drain()
    with cut_off(mesh):
        berlin.sql('delete from "Patients" where id = 1')
        hamburg.sql("insert into stays values (10, 1, 'n'), (11, 2, 's'), (12, 3, null)")
    mesh.drain()
    expected = [("stays_patient_region_fkey", "public.stays", "(10,1,n)", 'public."Patients"', "(1,n)")]
    assert [site.admin(ORPHANS, ["%stays"]) for site in mesh] == [expected] * 3
    hamburg.sql("delete from stays where id = 10")
    mesh.drain()
    assert [site.admin(ORPHANS, ["%stays"]) for site in mesh] == [[]] * 3


def test_deferrable_foreign_keys(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    """Django's: 317 in pretix. The child may come before its parent in a transaction."""
    berlin.sql("create table authors (id integer primary key)")
    berlin.sql(
        "create table books (id integer primary key,"
        " author integer references authors deferrable initially deferred, next integer references books"
        " deferrable initially deferred)"
    )
    mesh.drain()
    hamburg.sql("begin; insert into books values (1, 7, 2), (2, 7, 1); insert into authors values (7); commit")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        berlin.sql("insert into books values (3, 99, null)")
    assert mesh.equal("select id, author, next from books order by id") == [(1, 7, 2), (2, 7, 1)]
    assert berlin.admin(ORPHANS, ["%books"]) == []
