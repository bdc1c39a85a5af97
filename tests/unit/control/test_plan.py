"""The plan in a simulated world: however it is disturbed, it ends where an undisturbed run ends."""

from base64 import b64encode
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiserver.api.names import (
    GIVEN_IMAGE_ANNOTATION,
    MADE_BY_ANNOTATION,
    OPENED_ANNOTATION,
    SERVER_NUMBER_ANNOTATION,
    SITE_LABEL,
)
from multiserver.api.status import Status
from multiserver.control.act import Done
from multiserver.control.plan import actions as do
from multiserver.control.plan import plan, releases
from multiserver.control.report import view_of
from multiserver.control.snapshot import Snapshot
from multiserver.health.view import Serving
from multiserver.resources import statefulset
from multiserver.resources.secrets import encoded
from tests.clusters import a_cluster
from tests.unit.control.world import SITE_IMAGE, World, essence

THREE = ("berlin", "hamburg", "leipzig")


def settled(*sites: str, **spec) -> World:
    world = World(a_cluster(*(sites or THREE), **spec))
    world.settle()
    world.told()
    return world


def change(world: World, **changes) -> None:
    """Edit the resource."""
    spec = world.cluster.spec.model_dump(by_alias=True, exclude_none=True) | changes
    edited = a_cluster(*THREE, **{name: value for name, value in spec.items() if value is not None})
    world.cluster = edited.model_copy(update={"generation": world.cluster.generation + 1})


UNDISTURBED = essence(settled())


def test_three_sites_end_open_and_linked_both_ways():
    world = settled()

    for database in world.volumes.values():
        assert database.opened
        assert len(database.slots) == len(database.subscriptions) == 2
    assert plan(world.snapshot()).actions == ()


def test_one_site_is_a_whole_cluster():
    world = settled("berlin")

    assert world.volumes["berlin"].opened
    assert world.volumes["berlin"].slots == {}


def test_sites_without_a_number_get_the_least_free_ones_in_order():
    world = settled()

    assert [database.number for database in world.volumes.values()] == [1, 2, 3]


DISTURBANCES = st.lists(
    st.one_of(
        st.tuples(st.just("do only so many actions"), st.integers(0, 12)),
        st.tuples(st.just("pod dies"), st.sampled_from(THREE)),
        st.tuples(st.just("site is cut off"), st.sampled_from(THREE)),
        st.tuples(st.just("site is back"), st.sampled_from(THREE)),
        st.tuples(st.just("child is deleted"), st.integers(0, 50)),
        st.tuples(st.just("status is lost"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(DISTURBANCES)
def test_whatever_interrupts_it_the_end_is_the_same(disturbances):
    world = World(a_cluster(*THREE))

    for kind, detail in disturbances:
        disturb(world, kind, detail)
    world.cut.clear()
    world.settle()

    assert essence(world) == UNDISTURBED


def disturb(world: World, kind: str, detail) -> None:
    match kind:
        case "do only so many actions":
            world.round(actions_done=detail)
        case "pod dies":
            world.objects.pop(("Pod", world.names.pod(detail)), None)
        case "site is cut off":
            world.cut.add(detail)
        case "site is back":
            world.cut.discard(detail)
        case "child is deleted":
            children = [key for key in world.objects if key[0] not in ("PersistentVolumeClaim", "Secret")]
            if children:
                world.objects.pop(sorted(children)[detail % len(children)])
        case "status is lost":
            world.told()


@settings(max_examples=8)
@given(st.lists(st.integers(0, 3), max_size=30))
def test_a_change_of_resources_restarts_one_site_at_a_time_however_it_is_interrupted(steps):
    world = settled()
    before = {name: item["metadata"]["uid"] for (kind, name), item in world.objects.items() if kind == "Pod"}
    change(world, database={"resources": {"requests": {"cpu": "200m"}}})

    for actions_done in steps:
        world.round(actions_done=actions_done)
    world.settle()

    after = {name: item["metadata"]["uid"] for (kind, name), item in world.objects.items() if kind == "Pod"}
    assert all(before[name] != after[name] for name in before)


def test_no_site_restarts_while_another_one_is_away():
    world = settled()
    world.unready.add("hamburg")
    change(world, database={"resources": {"requests": {"cpu": "200m"}}})

    for _ in range(5):
        world.round()

    planned = plan(world.snapshot())
    restarted = planned.sites
    assert not any(isinstance(action, do.RestartPod) for action in (*restarted["berlin"], *restarted["leipzig"]))
    assert "restart site berlin: once all other sites serve" in planned.put_off


def test_a_change_that_kubernetes_has_not_dealt_with_is_not_told_as_done():
    world = settled()
    assert plan(world.snapshot()).put_off == ()
    world.objects["StatefulSet", "lab-berlin"]["status"]["observedGeneration"] -= 1

    assert plan(world.snapshot()).put_off == ("site berlin: Kubernetes has not dealt with its changed StatefulSet yet",)


def test_a_broken_site_gets_its_new_image_at_once():
    world = settled()
    world.unready |= {"hamburg", "leipzig"}
    change(world, image="registry.example/site:repaired")
    world.do(next(a for a in plan(world.snapshot()).sites["hamburg"] if a.words == "apply StatefulSet lab-hamburg"))
    world.controllers()

    assert do.RestartPod in [type(action) for action in plan(world.snapshot()).sites["hamburg"]]


def restarted(world: World) -> list[str]:
    return [action.site for action in plan(world.snapshot()).actions if isinstance(action, do.RestartPod)]


def test_sites_whose_agents_are_all_broken_get_their_new_image_one_after_the_other_while_their_databases_work():
    world = settled()
    world.half_broken |= set(THREE)
    change(world, image="registry.example/site:repaired")
    for site in THREE:
        world.do(next(a for a in plan(world.snapshot()).sites[site] if a.words == f"apply StatefulSet lab-{site}"))
    world.controllers()

    assert restarted(world) == ["berlin"]
    world.objects["Pod", "lab-berlin-0"]["metadata"]["deletionTimestamp"] = "2026-03-01T12:05:00Z"
    assert restarted(world) == [], "berlin answers until it has stopped"
    del world.objects["Pod", "lab-berlin-0"]
    world.settle()
    images = [world.objects["Pod", f"lab-{site}-0"]["spec"]["containers"][0]["image"] for site in THREE]
    assert images == ["registry.example/site:repaired"] * 3


def test_a_site_with_a_broken_agent_is_not_restarted_while_another_database_does_not_answer():
    world = settled()
    world.half_broken.add("berlin")
    world.cut.add("hamburg")
    change(world, image="registry.example/site:repaired")
    for _ in range(3):
        world.round()

    assert restarted(world) == []
    assert "restart site berlin: once all other sites serve" in plan(world.snapshot()).put_off


def test_a_declared_image_that_is_taken_back_gives_the_site_its_first_one_again():
    world = settled()
    change(world, image="registry.example/site:broken")
    world.settle()
    change(world, image=None)
    world.settle()

    pod = world.objects["Pod", "lab-berlin-0"]
    assert {container["image"] for container in pod["spec"]["containers"]} == {SITE_IMAGE}


def test_declared_ranges_are_told_before_the_application_may_write():
    ranges = {"berlin": {"from": 1, "to": 9}, "hamburg": {"from": 10, "to": 19}}
    world = settled(numberRanges=[{"sequence": "public.patient_number", "ranges": ranges}])

    assert world.volumes["hamburg"].ranges == {"public.patient_number": (10, 19)}
    assert world.volumes["leipzig"].ranges == {}


def test_an_upgrade_of_the_operator_leaves_the_images_of_running_sites_alone():
    world = settled()

    assert plan(seen_by_the_next_release(world)).actions == ()


def test_an_upgrade_of_the_operator_restarts_no_site_although_it_makes_other_pods(monkeypatch):
    world = settled()
    monkeypatch.setattr(statefulset, "STOP_SECONDS", 600)

    assert plan(seen_by_the_next_release(world)).actions == ()


def test_an_upgrade_of_the_operator_restarts_no_site_although_the_image_has_the_same_name(monkeypatch):
    world = settled()
    monkeypatch.setattr(statefulset, "STOP_SECONDS", 600)
    monkeypatch.setattr(releases, "RELEASE", "0.2.0")

    assert plan(world.snapshot()).actions == ()
    change(world, database={"parameters": {"max_connections": "150"}})
    world.settle()
    server = world.objects["StatefulSet", "lab-berlin"]
    assert server["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 600
    assert server["metadata"]["annotations"][MADE_BY_ANNOTATION] == "0.2.0"


def test_a_pod_that_is_declared_anew_is_made_by_the_present_release_with_its_image(monkeypatch):
    world = settled()
    monkeypatch.setattr(statefulset, "STOP_SECONDS", 600)
    change(world, database={"parameters": {"max_connections": "150"}})

    planned = plan(seen_by_the_next_release(world))

    made = next(action.desired for action in planned.sites["berlin"] if action.words == "apply StatefulSet lab-berlin")
    pod = made["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 600
    assert {container["image"] for container in pod["containers"]} == {"registry.example/site:2"}


def test_a_setting_that_can_be_reloaded_makes_no_other_pod_after_an_upgrade(monkeypatch):
    world = settled()
    monkeypatch.setattr(statefulset, "STOP_SECONDS", 600)
    change(world, database={"parameters": {"work_mem": "7MB"}})

    planned = plan(seen_by_the_next_release(world))

    assert {action.words for action in planned.actions} == {f"apply ConfigMap lab-{site}" for site in THREE}


def test_a_site_whose_image_is_no_longer_noted_is_given_it_again():
    world = settled()
    del world.objects["StatefulSet", "lab-berlin"]["metadata"]["annotations"][GIVEN_IMAGE_ANNOTATION]
    world.settle()

    server = world.objects["StatefulSet", "lab-berlin"]
    assert server["metadata"]["annotations"][GIVEN_IMAGE_ANNOTATION] == SITE_IMAGE
    assert {container["image"] for container in server["spec"]["template"]["spec"]["containers"]} == {SITE_IMAGE}


def seen_by_the_next_release(world: World) -> Snapshot:
    return replace(world.snapshot(), site_image="registry.example/site:2")


def test_an_empty_database_in_place_of_a_sites_own_is_held_back_and_never_opened():
    world = settled()
    world.replace_volume("hamburg")

    planned = plan(world.snapshot())

    assert "hamburg has a new, empty database" in planned.databases["hamburg"].held_back
    assert "empty it, and it is filled again from berlin" in planned.databases["hamburg"].held_back
    assert planned.actions == ()


def test_an_empty_database_is_noticed_from_the_peers_even_if_the_status_is_lost():
    world = settled()
    world.status = Status()
    world.replace_volume("hamburg")

    assert "new, empty database" in plan(world.snapshot()).databases["hamburg"].held_back


def test_a_site_that_is_alone_is_never_opened_with_an_empty_database_in_place_of_its_own():
    world = settled("berlin")
    world.replace_volume("berlin")

    for _ in range(3):
        assert "restore it from the site's backups" in plan(world.snapshot()).databases["berlin"].held_back
        world.told()


def test_the_empty_database_of_a_site_that_is_alone_stays_held_back_however_often_it_is_told():
    world = settled("berlin")
    known = world.status.sites[0].system_id
    world.replace_volume("berlin")

    for _ in range(4):
        world.told()
        world.round()

    assert world.status.sites[0].system_id == known
    assert f"known is {known}" in plan(world.snapshot()).databases["berlin"].held_back
    assert not world.volumes["berlin"].opened


def test_an_empty_database_that_is_seen_while_nothing_can_be_planned_does_not_become_the_known_one():
    world = settled("berlin")
    known = world.status.sites[0].system_id
    world.replace_volume("berlin")
    username = world.objects["Secret", "lab-app"]["data"].pop("username")
    assert plan(world.snapshot()).conflict
    world.told()
    world.objects["Secret", "lab-app"]["data"]["username"] = username

    assert f"known is {known}" in plan(world.snapshot()).databases["berlin"].held_back


def test_the_database_of_a_site_that_is_alone_is_taken_again_when_it_is_restored_in_place_of_an_empty_one():
    world = settled("berlin")
    world.write("berlin", "before")
    backup = deepcopy(world.volumes["berlin"])
    world.replace_volume("berlin")
    for _ in range(3):
        world.told()
        world.round()
    world.volumes["berlin"] = backup
    world.settle()

    assert plan(world.snapshot()).databases["berlin"].held_back == ""
    assert world.write("berlin", "after")
    assert world.volumes["berlin"].rows == {"before", "after"}


def test_a_subscription_that_was_dropped_is_made_again():
    world = settled()
    del world.volumes["berlin"].links[3]

    assert [action.words for action in plan(world.snapshot()).actions] == ["subscribe berlin to leipzig"]


def test_what_is_no_longer_declared_is_deleted_but_volumes_and_keys_stay():
    world = settled()
    stray = {"apiVersion": "v1", "metadata": {"name": "lab-bonn", "uid": "x", "labels": world.names.labels("bonn")}}
    for kind in ("Service", "Secret", "PersistentVolumeClaim"):
        world.objects[kind, "lab-bonn"] = {**stray, "kind": kind}

    assert [action.words for action in plan(world.snapshot()).actions] == ["delete Service lab-bonn"]


def test_a_declared_number_that_contradicts_the_kept_keys_stops_the_plan_with_the_way_out():
    world = settled()
    world.cluster = a_cluster(sites=[{"name": "berlin", "serverNumber": 7}, {"name": "hamburg"}, {"name": "leipzig"}])

    planned = plan(world.snapshot())

    assert planned.actions == ()
    assert "site berlin has server number 1 for good" in planned.conflict


def test_a_new_site_whose_keys_cannot_be_made_holds_up_no_other_and_comes_in_once_they_can():
    world = settled()
    pods = {site: world.objects["Pod", f"lab-{site}-0"] for site in THREE}
    world.refused = {"make the keys of site munich"}
    world.cluster = a_cluster(*THREE, "munich", database={"resources": {"requests": {"cpu": "200m"}}})
    del world.volumes["berlin"].links[3]
    for _ in range(10):
        world.round()

    planned = plan(world.snapshot())
    assert [action.words for action in planned.actions] == ["make the keys of site munich"]
    assert planned.serving["munich"] == Serving("Starting", "its keys are still to be made")
    assert view_of(world.snapshot(), planned, Done(False, (), ())).sites["munich"].server_number is None
    assert all(world.objects["Pod", f"lab-{site}-0"] is not pod for site, pod in pods.items())
    assert world.volumes["berlin"].links[3].conninfo

    world.refused = set()
    world.settle()
    assert world.volumes["munich"].opened
    assert world.volumes["munich"].number == 4


@pytest.mark.parametrize(
    ("newcomers", "numbers", "why"),
    [
        ([{"name": "munich", "serverNumber": 2}], {}, "server number 2 of site munich is taken by hamburg"),
        ([{"name": "munich"}, {"name": "bonn", "serverNumber": 4}], {"munich": 5, "bonn": 4}, ""),
        ([{"name": "munich", "serverNumber": 2}, {"name": "bonn"}], {"bonn": 4}, "declare another one"),
    ],
)
def test_a_new_site_with_a_number_that_is_taken_holds_up_no_other(newcomers, numbers, why):
    world = settled()
    world.cluster = a_cluster(sites=[{"name": site} for site in THREE] + newcomers)
    del world.volumes["berlin"].links[3]
    world.settle()

    planned = plan(world.snapshot())
    assert why in planned.refused
    assert planned.conflict == ""
    assert world.volumes["berlin"].links[3].conninfo
    assert {name: volume.number for name, volume in world.volumes.items() if name not in THREE} == numbers


def test_a_running_site_whose_keys_are_gone_is_no_new_one_that_its_peers_could_forget():
    world = settled()
    del world.objects["Secret", "lab-hamburg-identity"]

    assert [action.words for action in plan(world.snapshot()).actions] == ["make the keys of site hamburg"]


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_volumes_and_keys_belong_to_the_resource_only_if_deletion_is_wanted(policy):
    world = settled(deletionPolicy=policy)

    kept = [item for (kind, _), item in world.objects.items() if kind in ("PersistentVolumeClaim", "Secret")]
    assert kept
    assert all(("ownerReferences" in item["metadata"]) == (policy == "Delete") for item in kept)


OTHER = {"Retain": "Delete", "Delete": "Retain"}
LEIPZIGS_VOLUMES = ("lab-leipzig-data", "lab-leipzig-files", "lab-leipzig-repository")


def owned(world: World, *sites: str) -> set[bool]:
    """Whether what was made for the sites to be kept belongs to the resource."""
    kinds = ("PersistentVolumeClaim", "Secret")
    kept = [item["metadata"] for (kind, _), item in world.objects.items() if kind in kinds]
    return {"ownerReferences" in metadata for metadata in kept if metadata["labels"].get(SITE_LABEL) in sites}


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_a_changed_policy_holds_also_for_the_volumes_and_keys_of_a_site_that_has_left(policy):
    world = settled(deletionPolicy=OTHER[policy])
    volumes = {name: deepcopy(world.objects["PersistentVolumeClaim", name]) for name in LEIPZIGS_VOLUMES}
    world.cluster = a_cluster("berlin", "hamburg", deletionPolicy=OTHER[policy])
    world.settle()
    assert owned(world, "leipzig") == {policy == "Retain"}

    world.cluster = a_cluster("berlin", "hamburg", deletionPolicy=policy)
    world.settle()

    assert owned(world, *THREE) == {policy == "Delete"}
    for name, before in volumes.items():
        after = world.objects["PersistentVolumeClaim", name]
        assert after["spec"] == before["spec"]
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["metadata"]["annotations"].get(OPENED_ANNOTATION) == before["metadata"]["annotations"].get(
            OPENED_ANNOTATION
        )


def test_a_site_that_still_leaves_keeps_its_volumes_as_the_changed_policy_says():
    world = settled(deletionPolicy="Delete")
    world.lines_stall = True
    world.write("leipzig", "not handed over yet")
    world.cluster = a_cluster("berlin", "hamburg", deletionPolicy="Retain")
    for _ in range(3):
        world.round()

    assert ("StatefulSet", "lab-leipzig") in world.objects
    assert owned(world, *THREE) == {False}


def test_a_changed_policy_is_followed_although_nothing_else_can_be_planned():
    world = settled(deletionPolicy="Delete")
    sites = [{"name": "berlin", "serverNumber": 7}, {"name": "hamburg"}, {"name": "leipzig"}]
    world.cluster = a_cluster(sites=sites, deletionPolicy="Retain")

    assert "site berlin has server number 1 for good" in plan(world.snapshot()).conflict
    world.settle()

    assert owned(world, *THREE) == {False}
    assert plan(world.snapshot()).actions == ()


def test_a_changed_policy_is_followed_while_keys_are_still_to_be_made():
    world = settled(deletionPolicy="Delete")
    world.cluster = a_cluster(*THREE, "munich", deletionPolicy="Retain")
    world.round(actions_done=len(plan(world.snapshot()).actions) - 1)

    assert owned(world, *THREE) == {False}


NO_TEXT = b64encode(b"\xff").decode()
LARGER = {"storage": {"size": "21Gi"}}


def test_a_changed_policy_holds_also_for_a_volume_that_cannot_grow_as_is_declared():
    world = settled(deletionPolicy="Delete")
    world.volumes_can_grow = False
    change(world, database=LARGER)
    world.round()
    change(world, deletionPolicy="Retain")
    world.round()

    assert owned(world, *THREE) == {False}
    left = plan(world.snapshot()).actions
    assert [action.words for action in left] == [f"apply PersistentVolumeClaim lab-{site}-data" for site in THREE]
    world.volumes_can_grow = True
    world.settle()
    assert world.objects["PersistentVolumeClaim", "lab-berlin-data"]["spec"]["resources"] == {
        "requests": {"storage": "21Gi"}
    }


def test_a_site_opens_although_its_volume_cannot_grow_as_was_declared_before():
    world = World(a_cluster(*THREE))
    while not world.volumes:
        world.round()
    world.volumes_can_grow = False
    change(world, database=LARGER)

    for _ in range(10):
        world.round()

    assert all(database.opened for database in world.volumes.values())


def test_what_only_bears_the_labels_of_a_site_that_has_left_is_given_no_owner():
    world = settled(deletionPolicy="Delete")
    labels = {**world.names.labels("bonn"), "app.kubernetes.io/managed-by": "someone"}
    for name, labelled in (("lab-bonn-data", labels), ("a-copy-of-bonn", world.names.labels("bonn"))):
        metadata = {"name": name, "uid": "x", "labels": labelled}
        world.objects["PersistentVolumeClaim", name] = {"kind": "PersistentVolumeClaim", "metadata": metadata}

    assert plan(world.snapshot()).actions == ()


def test_a_warning_about_nothing_in_particular_is_no_stumbling_block():
    nameless = {"metadata": {}, "involvedObject": {"kind": "Node"}, "reason": "Odd", "message": "odd"}

    assert plan(replace(settled().snapshot(), warnings=(nameless,))).actions == ()


def test_a_lost_passphrase_is_not_made_anew_while_there_are_backups_that_only_it_can_read():
    world = settled()
    del world.objects["Secret", "lab-backup"]

    planned = plan(world.snapshot())

    assert planned.actions == ()
    assert "Secret lab-backup is gone" in planned.conflict
    assert "lab-berlin-repository" in planned.conflict


def test_a_lost_passphrase_is_made_anew_where_no_repository_is_left():
    world = settled()
    del world.objects["Secret", "lab-backup"]
    for site in THREE:
        world.objects["PersistentVolumeClaim", f"lab-{site}-repository"]["metadata"]["deletionTimestamp"] = "now"

    assert [action.words for action in plan(world.snapshot()).actions] == ["make the passphrase of the backups"]


@pytest.mark.parametrize(
    ("secret", "part"),
    [("lab-berlin-identity", "syncthing.crt"), ("lab-operator-identity", "tls.key"), ("lab-app", "username")],
)
def test_a_secret_that_lost_a_part_stops_the_plan_with_the_way_out(secret, part):
    world = settled()
    del world.objects["Secret", secret]["data"][part]

    assert f"Secret {secret} has no {part}: restore it" in plan(world.snapshot()).conflict


@pytest.mark.parametrize(
    ("secret", "part"),
    [("lab-berlin-identity", "tls.crt"), ("lab-operator-identity", "tls.crt"), ("lab-app", "password")],
)
def test_a_secret_with_a_part_that_is_no_text_stops_the_plan_with_the_way_out(secret, part):
    world = settled()
    world.objects["Secret", secret]["data"][part] = NO_TEXT

    assert f"Secret {secret} has no {part} in UTF-8: restore it" in plan(world.snapshot()).conflict


def test_what_somebody_added_to_the_applications_secret_need_be_no_text():
    world = settled()
    world.objects["Secret", "lab-app"]["data"]["keystore.p12"] = NO_TEXT

    assert plan(world.snapshot()).actions == ()


def test_keys_of_a_leaving_site_that_are_no_more_stop_the_plan_until_it_has_handed_over():
    world = settled()
    world.lines_stall = True
    world.write("leipzig", "not handed over yet")
    world.cluster = a_cluster("berlin", "hamburg")
    kept = world.objects["Secret", "lab-leipzig-identity"]

    for damaged in (
        {},
        {"data": kept["data"] | {"tls.crt": NO_TEXT}},
        {"metadata": {**kept["metadata"], "annotations": {}}},
    ):
        world.objects["Secret", "lab-leipzig-identity"] = {**kept, **damaged}
        if not damaged:
            del world.objects["Secret", "lab-leipzig-identity"]
        planned = plan(world.snapshot())
        assert planned.actions == ()
        assert "Secret lab-leipzig-identity" in planned.conflict

    world.objects["Secret", "lab-leipzig-identity"] = kept
    world.lines_stall = False
    world.settle()
    assert "not handed over yet" in world.volumes["berlin"].rows


def test_a_leaving_site_without_keys_that_is_gone_for_good_is_let_go_as_the_sentence_says():
    world = settled()
    world.cluster = a_cluster("berlin", "hamburg")
    del world.objects["Secret", "lab-leipzig-identity"]

    assert "if its site is gone for good: kubectl delete statefulset lab-leipzig." in plan(world.snapshot()).conflict
    for key in [("StatefulSet", "lab-leipzig"), ("Pod", "lab-leipzig-0")]:
        del world.objects[key]
    world.settle()

    assert not [name for _, name in world.objects if name == "lab-leipzig-server"]


@pytest.mark.parametrize("field", ["name", "owner"])
def test_what_was_kept_of_a_resource_is_not_used_with_another_database_or_owner(field):
    world = settled()
    world.objects = {key: item for key, item in world.objects.items() if key[0] in ("PersistentVolumeClaim", "Secret")}
    world.status = Status()
    world.cluster = a_cluster(*THREE, database={field: "clinic"})

    planned = plan(world.snapshot())

    assert planned.actions == ()
    assert f"with {field} app, and spec.database.{field} is clinic: set deletionPolicy to Retain" in planned.conflict


def test_the_name_of_the_database_is_repaired_in_the_secret_where_somebody_edited_it():
    world = settled()
    world.objects["Secret", "lab-app"]["data"] |= encoded({"dbname": "elsewhere"})

    assert [action.words for action in plan(world.snapshot()).actions] == ["apply Secret lab-app"]


def test_a_volume_that_was_opened_and_has_no_such_database_is_held_back():
    world = settled("berlin")
    world.status = Status()
    world.volumes["berlin"].engine = None
    world.volumes["berlin"].opened = False

    for _ in range(3):
        world.told()
        world.round()

    told = plan(world.snapshot()).databases["berlin"].held_back
    assert told.startswith("berlin has no database app, and its data volume lab-berlin-data was opened with one before")
    assert "kubectl exec lab-berlin-0 --container postgres -- psql --list" in told
    assert world.volumes["berlin"].engine is None


def test_a_certificate_that_is_none_stops_the_plan_with_the_way_out():
    world = settled()
    world.objects["Secret", "lab-berlin-identity"]["data"] |= encoded({"syncthing.crt": "garbage"})

    assert "syncthing.crt in Secret lab-berlin-identity is no certificate" in plan(world.snapshot()).conflict


def test_a_server_number_that_is_none_stops_the_plan_with_the_way_out():
    world = settled()
    world.objects["Secret", "lab-berlin-identity"]["metadata"]["annotations"][SERVER_NUMBER_ANNOTATION] = "one"

    assert "Secret lab-berlin-identity does not say whose server number" in plan(world.snapshot()).conflict


def test_an_object_that_only_bears_the_clusters_label_is_not_deleted():
    world = settled()
    metadata = {"name": "booking", "uid": "x", "labels": {"multiserver.dev/cluster": "lab"}}
    world.objects["Service", "booking"] = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}

    assert plan(world.snapshot()).actions == ()


def test_a_site_whose_volume_somebody_deleted_is_not_restarted_since_that_would_lose_it():
    world = settled()
    world.objects["PersistentVolumeClaim", "lab-berlin-data"]["metadata"]["deletionTimestamp"] = "now"
    change(world, database={"resources": {"requests": {"cpu": "200m"}}})

    for _ in range(3):
        world.round()

    planned = plan(world.snapshot())
    assert not [action for action in planned.sites["berlin"] if isinstance(action, do.RestartPod)]
    assert "volume lab-berlin-data was deleted" in planned.serving["berlin"].message


def test_an_open_site_subscribes_before_it_is_told_ranges_that_it_may_refuse():
    world = settled()
    del world.volumes["berlin"].links[3]
    change(world, numberRanges=[{"sequence": "public.invoice", "ranges": {"berlin": {"from": 1, "to": 9}}}])

    words = [action.words for action in plan(world.snapshot()).sites["berlin"]]

    assert words == ["subscribe berlin to leipzig", "set the number ranges of berlin"]
