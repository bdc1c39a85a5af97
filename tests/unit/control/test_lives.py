"""Sites join, leave, come back and break in a simulated world: whatever the order, they end open and equal."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from multiserver.api.names import OPENED_ANNOTATION
from multiserver.control.act import Done
from multiserver.control.plan import actions as do
from multiserver.control.plan import plan
from multiserver.control.report import view_of
from tests.clusters import a_cluster
from tests.unit.control.world import NOW, Database, World

THREE = ("berlin", "hamburg", "leipzig")
SCHEMA_SITE = "berlin"
NAMES = (*THREE, "munich")


@cache
def _settled() -> World:
    world = World(a_cluster(*THREE))
    world.settle()
    world.told()
    return world


def settled() -> World:
    """Three sites, open and equal."""
    return deepcopy(_settled())


def declare(world: World, *sites: str, **spec) -> None:
    """Edit the resource: these are its sites now."""
    edited = a_cluster(*sites, **spec)
    world.cluster = edited.model_copy(update={"generation": world.cluster.generation + 1})


def declared(world: World) -> list[str]:
    return [site.name for site in world.cluster.spec.sites]


def words(world: World) -> list[str]:
    return [action.words for action in plan(world.snapshot()).actions]


def assert_equal_and_open(world: World, rows: set[str] | None = None) -> None:
    volumes = {name: world.volumes[name] for name in declared(world)}
    numbers = {volume.number for volume in volumes.values()}
    for name, volume in volumes.items():
        peers = numbers - {volume.number}
        assert volume.opened, f"{name} is not open"
        assert volume.slots.keys() == peers, f"slots at {name}"
        assert volume.subscriptions.keys() == peers, f"subscriptions at {name}"
        assert volume.links.keys() == peers, f"links noted at {name}"
        assert volume.sites == {world.volumes[one].number: one for one in declared(world)}
        assert not any(kept.lost for kept in volume.slots.values())
        assert volume.rows == next(iter(volumes.values())).rows, f"{name} differs from {next(iter(volumes))}"
        if rows is not None:
            assert rows <= volume.rows
    assert plan(world.snapshot()).put_off == ()


# Joining


def test_a_site_that_joins_copies_one_that_is_open_and_ends_open_and_equal():
    world = settled()
    world.write("hamburg", "before")

    declare(world, *THREE, "munich")
    world.settle()

    assert world.volumes["munich"].broken == "copied"
    assert world.volumes["munich"].number == 4
    assert_equal_and_open(world, {"before"})


def test_the_server_of_a_new_site_is_made_only_when_all_that_are_open_keep_their_changes_for_it():
    world = settled()
    declare(world, *THREE, "munich")
    while "apply StatefulSet lab-munich" not in words(world):
        assert ("StatefulSet", "lab-munich") not in world.objects
        assert world.round(), "it is made at last"

    slots = {name: world.volumes[name].slots.keys() for name in THREE}
    assert all(4 in numbers for numbers in slots.values())


def test_a_new_site_waits_in_words_while_no_site_that_it_could_copy_answers():
    world = settled()
    world.cut |= set(THREE)
    declare(world, *THREE, "munich")
    for _ in range(5):
        world.round()

    planned = plan(world.snapshot())
    assert planned.put_off == ("make site munich: once one of berlin, hamburg, leipzig answers, from which it copies",)
    assert planned.serving["munich"].message == planned.put_off[0]
    assert ("StatefulSet", "lab-munich") not in world.objects


def test_a_site_that_joins_is_told_the_schema_site_first_then_the_others_by_number():
    world = World(a_cluster(*THREE, schema={"site": "leipzig"}))
    world.settle()
    declare(world, *THREE, "munich", schema={"site": "leipzig"})
    world.settle()

    assert plan(world.snapshot()).blueprint.donors("munich") == ("leipzig", "berlin", "hamburg")


def test_a_site_that_joins_is_not_opened_before_it_has_everything_of_its_peers():
    world = settled()
    declare(world, *THREE, "munich")
    world.settle()
    volume = world.volumes["munich"]
    volume.opened, volume.closed = False, True
    volume.links[2].doubted = True

    planned = plan(world.snapshot())

    assert planned.databases["munich"].incomplete == ("hamburg",)
    assert planned.put_off == ("open munich for the application: once it has fetched from hamburg what it lacks",)


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ("rewound", "its peers were found to know a later state of it: an old volume or backup was put back"),
        ("copied", "its database was copied from a peer: it is new, or had lost its volume"),
        (None, "it was taken out of spec.sites"),
    ],
)
def test_a_closed_site_tells_since_when_and_what_closed_it(broken, cause):
    world = settled()
    volume = world.volumes["leipzig"]
    volume.opened, volume.closed, volume.broken = False, True, broken
    volume.links[2].doubted = True

    told = plan(world.snapshot()).databases["leipzig"]

    assert told.closed_since == f"since {NOW:%Y-%m-%d %H:%M:%S} UTC, when {cause}"
    assert told.why_closed == "once it has fetched from hamburg what it lacks"


def test_a_site_opens_only_after_its_volume_is_marked_as_opened():
    world = World(a_cluster(*THREE))
    for _ in range(30):
        for action in plan(world.snapshot()).actions:
            if isinstance(action, do.OpenSite):
                claim = world.objects["PersistentVolumeClaim", f"lab-{action.site}-data"]
                assert OPENED_ANNOTATION in claim["metadata"]["annotations"]
            world.do(action)
        world.controllers()
    assert_equal_and_open(world)


def test_a_site_with_a_lower_number_that_joins_does_not_become_the_schema_site():
    world = World(a_cluster(sites=[{"name": "hamburg", "serverNumber": 5}, {"name": "leipzig", "serverNumber": 6}]))
    world.settle()
    joined = [{"name": "berlin", "serverNumber": 1}, {"name": "hamburg", "serverNumber": 5}]
    declare(world, sites=[*joined, {"name": "leipzig", "serverNumber": 6}])
    world.settle()

    assert {volume.schema_site for volume in world.volumes.values()} == {5}


# Leaving


def test_a_site_that_leaves_is_closed_hands_over_and_is_forgotten_while_its_volumes_and_keys_stay():
    world = settled()
    world.write("leipzig", "the last row")
    kept = {key for key in world.objects if key[0] in ("PersistentVolumeClaim", "Secret")}

    declare(world, "berlin", "hamburg")
    world.settle()

    assert kept <= world.objects.keys()
    assert not [key for key in world.objects if "leipzig" in key[1] and key not in kept]
    assert world.volumes["leipzig"].closed
    assert_equal_and_open(world, {"the last row"})


def test_a_site_that_leaves_stays_until_a_peer_has_all_it_wrote():
    world = settled()
    world.write("leipzig", "the last row")
    declare(world, "berlin", "hamburg")
    planned = plan(world.snapshot())
    assert [action.words for action in planned.actions if isinstance(action, do.CloseSite)] == [
        "close leipzig for the application"
    ]
    for action in planned.actions:
        world.do(action)

    planned = plan(world.snapshot())

    assert planned.put_off == (
        "let leipzig leave: once berlin or hamburg has all that was written there. "
        "If it is gone for good: kubectl delete statefulset lab-leipzig",
    )
    assert ("StatefulSet", "lab-leipzig") in world.objects
    assert planned.blueprint.plan("leipzig").certificate_pem, "it is still trusted, to hand over"


def test_a_peer_that_is_cut_off_keeps_nobody_from_leaving():
    world = settled()
    world.cut.add("hamburg")
    world.write("leipzig", "the last row")
    declare(world, "berlin", "hamburg")
    for _ in range(10):
        world.round()
    assert ("StatefulSet", "lab-leipzig") not in world.objects
    world.cut.clear()
    world.settle()
    assert_equal_and_open(world, {"the last row"})


def test_a_site_that_leaves_hands_over_also_what_it_had_given_up_to_keep_for_its_peers():
    world = settled()
    world.write("leipzig", "the last row")
    world.lose_slots("leipzig")
    declare(world, "berlin", "hamburg")
    world.settle()

    assert ("StatefulSet", "lab-leipzig") not in world.objects
    assert_equal_and_open(world, {"the last row"})


def test_a_dead_site_leaves_at_once():
    world = settled()
    world.unready.add("leipzig")
    declare(world, "berlin", "hamburg")

    deleted = [told for told in words(world) if told.startswith("delete")]
    assert deleted[0] == "delete StatefulSet lab-leipzig", "until it is gone, the site needs the rest"
    world.settle()
    assert_equal_and_open(world)


def test_a_site_that_leaves_hands_over_although_its_agent_is_broken():
    world = settled()
    world.write("leipzig", "the last row")
    world.half_broken.add("leipzig")
    declare(world, "berlin", "hamburg")

    assert "delete StatefulSet lab-leipzig" not in words(world)
    world.settle()
    assert_equal_and_open(world, {"the last row"})


def test_a_site_with_a_broken_agent_that_is_not_reached_is_waited_for_since_its_server_runs():
    world = settled()
    world.half_broken.add("leipzig")
    world.cut.add("leipzig")
    declare(world, "berlin", "hamburg")

    planned = plan(world.snapshot())

    assert "delete StatefulSet lab-leipzig" not in [action.words for action in planned.actions]
    assert "let leipzig leave: once it answers" in planned.put_off[0]


def test_a_site_that_leaves_is_waited_for_while_its_pod_is_made_anew_whatever_was_warned_of_before():
    world = settled()
    declare(world, "berlin", "hamburg")
    del world.objects["Pod", "lab-leipzig-0"]
    warning = {"metadata": {}, "involvedObject": {"name": "lab-leipzig"}, "reason": "FailedCreate", "message": "quota"}

    planned = plan(replace(world.snapshot(), warnings=(warning,)))

    assert "delete StatefulSet lab-leipzig" not in [action.words for action in planned.actions]
    assert "let leipzig leave: once it answers" in planned.put_off[0]


def test_a_site_whose_statefulset_was_deleted_by_hand_has_left():
    world = settled()
    world.cut.add("leipzig")
    declare(world, "berlin", "hamburg")
    world.round()
    assert "let leipzig leave: once it answers" in plan(world.snapshot()).put_off[0]

    del world.objects["StatefulSet", "lab-leipzig"]
    world.settle()

    assert_equal_and_open(world)


def test_survivors_fetch_from_each_other_what_only_some_of_them_had_of_a_dead_site():
    world = settled()
    world.write("leipzig", "the last row")
    world.volumes["berlin"].rows |= world.volumes["leipzig"].slots[1].unsent
    world.unready.add("leipzig")
    declare(world, "berlin", "hamburg")
    world.settle()

    assert_equal_and_open(world, {"the last row"})


def test_a_site_comes_back_under_its_name_with_its_number_and_its_volume():
    world = settled()
    declare(world, "berlin", "hamburg")
    world.settle()
    system_id = world.volumes["leipzig"].system_id
    world.write("berlin", "meanwhile")

    declare(world, *THREE)
    world.settle()

    assert (world.volumes["leipzig"].number, world.volumes["leipzig"].system_id) == (3, system_id)
    assert_equal_and_open(world, {"meanwhile"})


def test_a_site_that_lost_its_volume_while_its_only_peer_leaves_copies_that_one():
    world = settled()
    declare(world, "berlin", "leipzig")
    world.settle()
    world.write("leipzig", "the only copy")
    world.lose_volume("berlin")
    declare(world, "berlin")
    world.settle()

    assert_equal_and_open(world, {"the only copy"})


def test_the_schema_site_that_is_not_declared_stops_the_plan_with_the_way_out():
    world = settled()
    declare(world, "hamburg", "leipzig")

    planned = plan(world.snapshot())

    assert planned.actions == ()
    assert "berlin is the schema site and is not in spec.sites: put it back" in planned.conflict


def test_a_schema_site_that_would_move_stays_and_that_is_said():
    world = settled()
    declare(world, *THREE, schema={"site": "hamburg"})

    planned = plan(world.snapshot())

    assert planned.actions == ()
    assert planned.refused.startswith("spec.schema.site is hamburg, but the schema site is berlin")


# What breaks


def test_a_lost_slot_of_an_open_site_is_made_anew_and_the_peer_fetches_what_it_missed():
    world = settled()
    world.cut.add("hamburg")
    world.write("berlin", "missed")
    world.lose_slots("berlin")

    planned = plan(world.snapshot())
    assert "make the slot for hamburg at berlin anew, since its backlog was given up for the sake of the volume" in [
        action.words for action in planned.actions
    ]
    world.cut.clear()
    world.settle()
    assert_equal_and_open(world, {"missed"})


def test_a_slot_that_somebody_dropped_is_made_anew_and_the_peer_fetches_what_it_missed():
    world = settled()
    del world.volumes["berlin"].slots[2]
    world.write("berlin", "missed")
    world.settle()

    assert_equal_and_open(world, {"missed"})


@pytest.mark.parametrize("site", THREE)
@pytest.mark.parametrize("claim_too", [False, True])
def test_a_lost_volume_is_filled_again_from_a_peer_and_the_site_opens_again(site, claim_too):
    world = settled()
    world.write("hamburg", "before")
    world.round()
    system_id = world.volumes[site].system_id
    if claim_too:
        del world.objects["PersistentVolumeClaim", f"lab-{site}-data"]
    world.lose_volume(site)
    world.settle()

    assert world.volumes[site].system_id != system_id
    assert_equal_and_open(world, {"before"})


def test_a_rewound_site_is_subscribed_to_anew_and_opens_when_it_has_fetched_what_it_lost():
    world = settled()
    earlier = deepcopy(world.volumes["hamburg"])
    world.write("berlin", "after the copy was taken")
    world.write("hamburg", "its own, and forgotten")
    world.agents()
    world.rewind("hamburg", earlier)

    told = words(world)
    assert "subscribe berlin to hamburg anew, since hamburg has another history than before" in told
    assert "open hamburg for the application" not in told
    world.settle()
    assert_equal_and_open(world, {"after the copy was taken", "its own, and forgotten"})


def too_old(world: World, site: str, peer: str) -> None:
    """The site's volume is put back to before what the peer has forgotten, and its log has begun anew."""
    world.rewind(site, world.volumes[site])
    world.volumes[site].complete_until = 3600
    world.volumes[peer].collected = 7200
    world.settle()


def test_a_site_put_back_to_before_what_a_peer_has_forgotten_says_that_its_volume_must_be_replaced():
    world = settled()
    too_old(world, "leipzig", "hamburg")

    planned = plan(world.snapshot())

    assert planned.databases["leipzig"].beyond_repair == (
        "it is closed since 2026-03-01 12:00:00 UTC, when its peers were found to know a later state of it: an old "
        "volume or backup was put back. Comparing cannot repair it: it has all changes only up to 1970-01-01 01:00:00 "
        "UTC, and what was deleted since then is forgotten at hamburg. Replace its data volume, which is then filled "
        "from a peer; what only the old one holds is lost: kubectl delete pvc lab-leipzig-data --wait=false; "
        "kubectl delete pod lab-leipzig-0 (docs/a-sites-life.md)"
    )
    assert planned.put_off == (
        "open leipzig for the application: once its data volume is replaced, since comparing cannot repair it",
    )
    view = view_of(world.snapshot(), planned, Done(changed=False, failures=(), waiting=()))
    assert view.sites["leipzig"].blocked == planned.databases["leipzig"].beyond_repair
    assert view.sites["hamburg"].blocked == ""


def test_a_site_beyond_repair_is_filled_again_and_opens_when_its_volume_is_replaced():
    world = settled()
    too_old(world, "leipzig", "hamburg")
    world.write("hamburg", "meanwhile")
    del world.objects["PersistentVolumeClaim", "lab-leipzig-data"]
    world.lose_volume("leipzig")
    world.settle()

    assert_equal_and_open(world, {"meanwhile"})
    assert plan(world.snapshot()).databases["leipzig"].beyond_repair == ""


@pytest.mark.parametrize("until", [7200, 7201])
def test_a_site_put_back_to_after_what_its_peers_have_forgotten_is_mended_by_comparing(until: int):
    world = settled()
    world.volumes["hamburg"].collected = 7200
    world.rewind("leipzig", world.volumes["leipzig"])
    world.volumes["leipzig"].complete_until = until
    world.lines_stall = True
    world.settle()

    planned = plan(world.snapshot()).databases["leipzig"]
    assert planned.incomplete == ("berlin", "hamburg")
    assert planned.beyond_repair == ""
    world.lines_stall = False
    world.settle()
    assert_equal_and_open(world)


def test_what_a_peer_forgets_of_what_it_has_given_already_puts_no_site_beyond_repair():
    world = settled()
    volume = world.volumes["leipzig"]
    volume.broken, volume.complete_until, volume.opened, volume.closed = "rewound", 3600, False, True
    volume.links[1].doubted = True
    volume.links[2].birth = world.volumes["hamburg"].slots[3].birth
    world.volumes["hamburg"].collected = 7200

    planned = plan(world.snapshot()).databases["leipzig"]
    assert planned.incomplete == ("berlin",)
    assert planned.beyond_repair == ""


def test_a_site_that_never_had_all_changes_before_it_was_put_back_says_so_without_a_time():
    world = settled()
    too_old(world, "leipzig", "hamburg")
    world.volumes["leipzig"].complete_until = 0

    told = plan(world.snapshot()).databases["leipzig"].beyond_repair
    assert "it never had all changes, and what was deleted since then is forgotten at hamburg" in told


def test_a_site_that_waits_for_its_volume_keeps_no_other_from_restarting():
    world = settled()
    too_old(world, "leipzig", "hamburg")
    declare(world, *THREE, database={"resources": {"requests": {"cpu": "200m"}}})
    world.settle()

    servers = {site: world.objects["StatefulSet", f"lab-{site}"]["spec"]["template"] for site in THREE}
    assert all(world.objects["Pod", f"lab-{site}-0"]["spec"] == servers[site]["spec"] for site in THREE)


@pytest.mark.parametrize("beyond_repair", [False, True])
def test_the_last_site_that_is_open_is_not_restarted_while_the_other_one_is_closed(beyond_repair: bool):
    world = World(a_cluster("berlin", "hamburg"))
    world.settle()
    world.lines_stall = True
    volume = world.volumes["hamburg"]
    volume.opened, volume.closed, volume.broken = False, True, "rewound"
    volume.links[1].doubted = True
    if beyond_repair:
        volume.complete_until, world.volumes["berlin"].collected = 3600, 7200
    declare(world, "berlin", "hamburg", database={"resources": {"requests": {"cpu": "200m"}}})
    world.settle()

    planned = plan(world.snapshot())

    assert bool(planned.databases["hamburg"].beyond_repair) == beyond_repair
    assert "restart site berlin: once all other sites serve" in planned.put_off
    server = world.objects["StatefulSet", "lab-hamburg"]["spec"]["template"]
    assert world.objects["Pod", "lab-hamburg-0"]["spec"] == server["spec"], "it serves nobody"


def test_a_site_keeps_another_one_from_restarting_until_it_has_opened_again():
    world = settled()
    world.lines_stall = True
    volume = world.volumes["leipzig"]
    volume.opened, volume.closed, volume.broken = False, True, "rewound"
    volume.links[1].doubted = True
    declare(world, *THREE, database={"resources": {"requests": {"cpu": "200m"}}})
    world.settle()
    assert "restart site berlin: once all other sites serve" in plan(world.snapshot()).put_off

    world.lines_stall = False
    world.settle()

    assert_equal_and_open(world)


def test_a_rewound_site_is_restarted_for_a_log_that_begins_anew_before_anything_is_made_there():
    world = settled()
    world.rewind("hamburg", world.volumes["hamburg"])
    system_id = world.volumes["hamburg"].system_id
    world.unready.add("leipzig")  # A site that serves nobody waits for no other.

    planned = plan(world.snapshot())

    assert [action.words for action in planned.sites["hamburg"]] == [
        "restart site hamburg, since it was put back in time and its log has to begin anew"
    ]
    assert planned.databases["hamburg"].why_closed == (
        "once its server has been restarted, so that its log begins anew"
    )
    world.unready.clear()
    world.settle()
    assert world.volumes["hamburg"].system_id != system_id
    assert_equal_and_open(world)


def test_a_rewound_site_is_not_restarted_while_its_pod_is_on_its_way_out():
    world = settled()
    world.rewind("hamburg", world.volumes["hamburg"])
    world.objects["Pod", "lab-hamburg-0"]["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"

    assert plan(world.snapshot()).sites["hamburg"] == ()


def test_a_resource_that_is_deleted_and_applied_again_brings_back_all_sites_with_their_data():
    world = settled()
    world.write("hamburg", "before")
    before = {name: volume.system_id for name, volume in world.volumes.items()}
    world.objects = {key: item for key, item in world.objects.items() if key[0] in ("PersistentVolumeClaim", "Secret")}
    world.settle()

    assert {name: volume.system_id for name, volume in world.volumes.items()} == before
    assert_equal_and_open(world, {"before"})


@pytest.mark.parametrize(("behind", "ahead"), [("hamburg", "berlin"), ("berlin", "hamburg")])
def test_a_site_that_missed_schema_changes_for_good_is_told_with_the_way_out(behind: str, ahead: str):
    world = settled()
    world.volumes[behind].links[{"berlin": 1, "hamburg": 2}[ahead]].doubted = True
    snapshot = world.snapshot()
    site = snapshot.sites[ahead]
    newer = replace(site, database=site.database.model_copy(update={"schema_version": 7}))

    planned = plan(replace(snapshot, sites={**snapshot.sites, ahead: newer}))

    assert planned.databases[behind].incomplete == (ahead,)
    told = planned.databases[behind].schema_behind
    assert f"its schema has the version 0, that of {ahead} 7: if that stays, {behind} missed schema changes" in told
    assert planned.databases["leipzig"].schema_behind == "", f"it has all of {ahead} but for what is under way"


# All of it at any moment

OFTEN = ("write", "write", "rewind", "leave", "join")
SOMETIMES = ("pod dies", "cut off", "back", "dead", "alive", "lose slots", "lose volume", "lose volume and claim")
STEPS = st.lists(
    st.sampled_from(
        [
            *(("do only so many actions", count) for count in (0, 1, 2, 3, 5, 8, 13, 99, 99, 99)),
            ("shared objects are refused", 0),
            *(("lines stall", stalled) for stalled in (False, True)),
            *((kind, site) for kind in (*OFTEN, *SOMETIMES) for site in NAMES),
        ]
    ),
    min_size=30,
    max_size=30,
)
"""Of a fixed length, since hypothesis draws short lists most of the time, in which little happens."""


class History:
    """A world with what was written in it, and which of that may be lost by right."""

    def __init__(self) -> None:
        self.world = settled()
        self.written: set[str] = set()
        self.may_be_lost: set[str] = set()
        self.remembered: dict[str, Database] = {}
        self.ever_dead: set[str] = set()

    def step(self, kind: str, detail) -> None:
        world, sites = self.world, declared(self.world)
        match kind:
            case "do only so many actions":
                world.round(actions_done=detail)
                self._remember()
            case "shared objects are refused":
                world.round(only_in_databases=True)
                self._remember()
            case "write":
                row = f"{detail} {len(self.written)}"
                if detail in sites and world.write(detail, row):
                    self.written.add(row)
            case "lines stall":
                world.lines_stall = detail
            case "join" if detail not in sites:
                declare(world, *sites, detail)
            case "leave" if detail != SCHEMA_SITE and self._could_be_copied(detail):
                declare(world, *(site for site in sites if site != detail))
            case "pod dies":
                world.objects.pop(("Pod", world.names.pod(detail)), None)
            case "cut off":
                world.cut.add(detail)
            case "back":
                world.cut.discard(detail)
            case "dead":
                world.unready.add(detail)
                self.ever_dead.add(detail)
            case "alive":
                world.unready.discard(detail)
            case "lose slots":
                world.lose_slots(detail)
            case "lose volume" | "lose volume and claim" if self._could_be_copied(detail):
                self._damage(detail, set())
                world.lose_volume(detail)
                if kind == "lose volume and claim":
                    world.objects.pop(("PersistentVolumeClaim", world.names.volume(detail, "data")), None)
            case "rewind" if self._could_be_rewound(detail):
                self._damage(detail, self.remembered[detail].rows)
                world.rewind(detail, self.remembered[detail])

    def end(self) -> None:
        """All is healed, the operator is left alone, and the application writes once more at every site."""
        self.world.cut.clear()
        self.world.unready.clear()
        self.world.lines_stall = False
        self.world.settle(rounds=80)
        for site in declared(self.world):
            assert self.world.write(site, f"{site} at the end"), f"{site} takes no row"
            self.written.add(f"{site} at the end")
        self.world.settle()
        gone = set(self.world.volumes) - set(declared(self.world))
        for site in gone & self.ever_dead:
            self._damage(site, set())

    def _remember(self) -> None:
        """Keep a copy of each volume as it was when it was first seen, to be put back later."""
        for name, volume in self.world.volumes.items():
            if name not in self.remembered or self.remembered[name].incarnation != volume.incarnation:
                self.remembered[name] = deepcopy(volume)

    def _could_be_copied(self, site: str) -> bool:
        """Whether another site, which stays, is open and so has everything that must stay."""
        others = [self.world.volumes.get(name) for name in declared(self.world) if name != site]
        return site in declared(self.world) and any(other and other.opened for other in others)

    def _could_be_rewound(self, site: str) -> bool:
        earlier, present = self.remembered.get(site), self.world.volumes.get(site)
        same = earlier is not None and present is not None and earlier.incarnation == present.incarnation
        return same and self._could_be_copied(site)

    def _damage(self, site: str, left: set[str]) -> None:
        """Take note of the rows that only this site had."""
        present = self.world.volumes.get(site)
        elsewhere = [self.world.volumes[name].rows for name in declared(self.world) if name in self.world.volumes]
        others = [rows for rows in elsewhere if present is None or rows is not present.rows]
        self.may_be_lost |= (present.rows if present else set()) - left - set().union(*others)


@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(STEPS)
def test_whatever_happens_in_whatever_order_all_sites_end_open_and_equal_and_nothing_is_lost(steps):
    history = History()
    for kind, detail in steps:
        history.step(kind, detail)
    history.end()

    assert_equal_and_open(history.world, history.written - history.may_be_lost)
