"""Tables are made at one site; numbers that sites give never collide."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hack.common.command import CommandFailed
from hack.demo.mesh import Mesh
from hack.demo.site import Site


@pytest.mark.parametrize("refused", ["create table made_elsewhere (id int)", "alter table visit add extra int"])
def test_a_schema_change_elsewhere_is_refused_with_the_name_of_the_site_where_to_make_it(
    mesh: Mesh, refused: str
) -> None:
    berlin, hamburg, _ = mesh.sites
    berlin.sql("create table if not exists visit (id bigserial primary key, site text not null, note text)")
    hamburg.await_sql("select to_regclass('visit') is not null", "t")
    with pytest.raises(CommandFailed, match="the schema is changed at site berlin; this is site hamburg"):
        hamburg.sql(refused)


def test_columns_indexes_and_constraints_reach_all_sites(mesh: Mesh) -> None:
    berlin, hamburg, leipzig = mesh.sites
    berlin.sql("create table doctor (id int primary key, name text not null)")
    berlin.sql("alter table doctor add phone text; create index doctor_name on doctor (name)")
    berlin.sql("alter table doctor add constraint phone_has_digits check (phone ~ '[0-9]')")
    for site in (hamburg, leipzig):
        site.await_sql("select to_regclass('doctor_name') is not null", "t")
        site.await_sql("select count(*) from pg_constraint where conname = 'phone_has_digits'", "1")
        with pytest.raises(CommandFailed, match="phone_has_digits"):
            site.sql("insert into doctor values (1, 'Ada', 'none')")


def test_numbers_drawn_at_all_sites_at_once_never_collide(mesh: Mesh) -> None:
    mesh.sites[0].sql("create table ticket (id serial primary key, site text)")
    for site in mesh.sites:
        site.await_sql("select to_regclass('ticket') is not null", "t")

    def draw(site: Site) -> str:
        return site.sql(f"insert into ticket (site) select '{site.name}' from generate_series(1, 200)")

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, mesh.sites))
    for site in mesh.sites:
        site.await_sql("select count(*), count(distinct id), count(distinct site) from ticket", "600|600|3")


def test_declared_number_ranges_hold(mesh: Mesh) -> None:
    first = {"berlin": 200_000, "hamburg": 300_000, "leipzig": 400_000}
    ranges = {name: {"from": number, "to": number + 99_999} for name, number in first.items()}
    mesh.patch({"numberRanges": [{"sequence": "public.patient_number", "ranges": ranges}]})
    mesh.wait_until_healthy()
    mesh.sites[0].sql("create sequence patient_number")
    for site in mesh.sites:
        site.await_sql("select to_regclass('patient_number') is not null", "t")
        assert site.sql("select nextval('patient_number')") == str(first[site.name])
