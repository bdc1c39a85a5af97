"""Inserts, updates and deletes at any site reach all others, whatever the table looks like."""

from tests.postgres.mesh import Mesh, Site


def test_rows_written_at_each_site_are_read_at_all_others(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    berlin.sql("create table visits (id integer primary key, note text)")
    mesh.drain()
    for number, site in enumerate(mesh, start=1):
        site.sql("insert into visits values (%s, %s)", [number, f"written at {site.name}"])
    mesh.drain()
    hamburg.sql("update visits set note = note || ', corrected' where id = 1")
    leipzig.sql("delete from visits where id = 2")
    assert mesh.equal("select * from visits order by id") == [
        (1, "written at berlin, corrected"),
        (3, "written at leipzig"),
    ]
    mesh.assert_registers_equal()
