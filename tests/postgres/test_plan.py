"""The plan and real databases understand each other: what it does to them is what it then sees there."""

from collections.abc import Callable, Iterator

import pytest

from multiserver.control.plan import plan
from tests.clusters import a_cluster
from tests.postgres.mesh import Site
from tests.postgres.planned import PlannedSites, by_loopback
from tests.postgres.servers import Server, eventually

THREE = ("berlin", "hamburg", "leipzig")
__all__ = ["by_loopback"]


@pytest.fixture
def sites(start_servers: Callable[[int], list[Server]], by_loopback: dict[str, Site]) -> Iterator[PlannedSites]:
    """Three sites that the plan has made, with a table."""
    world = PlannedSites(a_cluster(*THREE), dict(zip(THREE, start_servers(3), strict=True)))
    by_loopback.update(world.real)
    world.settle()
    world.real["berlin"].sql("create table entry (id text primary key)")
    for site in world.real.values():
        arrives(site, "select to_regclass('entry') is not null", True)
    yield world


def arrives(site: Site, query: str, wanted: object) -> None:
    eventually(lambda: site.admin(query) == [wanted], f"{site.name}: {query}", explain=site.server.last_words)


def declare(world: PlannedSites, *names: str) -> None:
    world.cluster = a_cluster(*names).model_copy(update={"generation": world.cluster.generation + 1})


def exchange(world: PlannedSites, *names: str) -> None:
    """Every site gets a row of every other."""
    label = f"row {len(world.real[names[0]].sql('select from entry'))}"
    for name in names:
        world.real[name].sql("insert into entry values (%s)", [f"{label} of {name}"])
    for name in names:
        arrives(world.real[name], f"select count(*) from entry where id like '{label} of %'", len(names))


def test_three_sites_are_made_linked_and_open(sites):
    exchange(sites, *THREE)

    assert plan(sites.snapshot()).actions == ()


def test_a_slot_that_somebody_dropped_is_made_anew_and_the_link_goes_on(sites):
    berlin = sites.real["berlin"]
    (birth,) = berlin.admin("select birth from multiserver.slots where peer_number = 2")
    sites.real["hamburg"].cut(berlin)
    slot = "multiserver.peer_slots where peer_number = 2"
    eventually(lambda: not berlin.admin(f"select from {slot} and active"), "hamburg lets go of its slot")
    berlin.admin(f"select pg_drop_replication_slot(slot_name) from {slot}")
    assert "make the slot for hamburg at berlin" in [action.words for action in plan(sites.snapshot()).actions]
    sites.settle()

    assert berlin.admin("select birth from multiserver.slots where peer_number = 2") != [birth]
    exchange(sites, *THREE)


def test_a_rewound_site_begins_anew_with_new_slots_and_subscriptions_and_opens_when_it_is_complete(sites):
    hamburg = sites.real["hamburg"]
    (incarnation,) = hamburg.admin("select incarnation from multiserver.site_settings")
    hamburg.admin("select multiserver.renounce(%s)", [incarnation])

    planned = plan(sites.snapshot())
    assert {action.words for action in planned.actions} >= {
        "restart site hamburg, since it was put back in time and its log has to begin anew",
        "subscribe berlin to hamburg anew, since hamburg has another history than before",
    }
    for action in planned.actions:
        sites.do(action, planned.blueprint)
    sites.controllers()

    planned = plan(sites.snapshot())
    assert {action.words for action in planned.actions} >= {
        "make the slot for berlin at hamburg",
        "make the slot for leipzig at hamburg",
    }
    assert planned.databases["hamburg"].why_closed == "once it has fetched from berlin, leipzig what it lacks"
    sites.settle()
    assert hamburg.admin("select incarnation from multiserver.site_settings") != [incarnation]
    exchange(sites, *THREE)


def test_a_site_that_leaves_hands_over_and_nothing_of_it_stays_at_its_peers(sites):
    leipzig, berlin = sites.real["leipzig"], sites.real["berlin"]
    leipzig.sql("insert into entry values ('the last row')")
    declare(sites, "berlin", "hamburg")
    sites.settle()

    assert ("StatefulSet", "lab-leipzig") not in sites.objects
    for site in (berlin, sites.real["hamburg"]):
        assert site.admin("select count(*) from entry where id = 'the last row'") == [1]
        assert site.admin("select from pg_replication_slots where slot_name like 'multiserver@_3@_%%' escape '@'") == []
        assert site.admin("select from pg_subscription where subname = 'multiserver_3'") == []
        assert site.admin("select name from multiserver.sites order by 1") == ["berlin", "hamburg"]
    assert leipzig.admin("select rolcanlogin from pg_roles where rolname = 'app'") == [False]
    exchange(sites, "berlin", "hamburg")


def test_a_site_that_left_comes_back_with_its_volume_and_number(sites):
    declare(sites, "berlin", "hamburg")
    sites.settle()
    declare(sites, *THREE)
    sites.settle()

    assert sites.real["leipzig"].admin("select multiserver.server_number()") == [3]
    exchange(sites, *THREE)


def test_a_volume_that_the_site_had_before_its_present_history_is_found_by_what_peers_know(sites):
    hamburg = sites.real["hamburg"]
    known = "select multiserver.is_rewound(gen_random_uuid(), now() - interval '1 hour', null, null)"
    assert hamburg.admin(known) == [True], "peers know another history, and this one never broke off from it"

    hamburg.admin("insert into multiserver.broken_history (how) values ('copied')")
    assert hamburg.admin(known) == [False], "what peers know ended before this history began"
