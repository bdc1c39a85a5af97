from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.kube.drift import NO_LONGER_WANTED, drift, first_difference, is_contained, marked

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def service(**spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": "lab", "labels": {"a": "1"}}, "spec": spec}


def stored(desired: dict[str, Any]) -> dict[str, Any]:
    """What the API server holds after an apply: the object, its hash, and what others add."""
    live = deepcopy(marked(desired))
    live["metadata"] |= {"uid": "1", "resourceVersion": "7", "managedFields": []}
    live["metadata"]["labels"]["b"] = "theirs"
    live["spec"]["clusterIP"] = "10.0.0.1"
    return live


@given(JSON)
def test_everything_contains_itself(value):
    assert is_contained(value, value)


@given(JSON, JSON)
def test_a_difference_is_named_if_and_only_if_there_is_one(desired, live):
    assert (first_difference(desired, live) is None) == is_contained(desired, live)


def test_an_applied_object_is_at_rest_whatever_others_add():
    assert drift(service(type="ClusterIP"), stored(service(type="ClusterIP"))) == ""


def test_a_field_changed_by_hand_is_named():
    live = stored(service(type="ClusterIP"))
    live["spec"]["type"] = "NodePort"
    assert drift(service(type="ClusterIP"), live) == "spec.type"


def test_a_field_that_is_not_wanted_any_more_is_noticed():
    assert drift(service(), stored(service(type="ClusterIP"))) == NO_LONGER_WANTED


def test_an_object_that_was_never_applied_is():
    live = service(type="ClusterIP")
    assert drift(service(type="ClusterIP"), live) == NO_LONGER_WANTED


def test_the_first_difference_is_the_same_in_any_order_of_fields():
    desired = {"b": 1, "a": {"d": 1, "c": 1}}
    assert first_difference(desired, {}) == "a"
    assert first_difference(desired, {"a": {}, "b": 2}) == "a.c"
    assert first_difference(dict(reversed(desired.items())), {"a": {}, "b": 2}) == "a.c"


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


def test_entries_of_merged_lists_are_found_by_their_key_and_others_may_add_theirs():
    wanted = containers({"name": "postgres", "image": "a"})
    assert is_contained(wanted, containers({"name": "injected"}, {"name": "postgres", "image": "a"}))
    assert first_difference(wanted, containers({"name": "postgres", "image": "b"})) == "spec.containers[postgres].image"
    assert first_difference(wanted, containers()) == "spec.containers[postgres]"


def test_ports_are_found_by_number_and_protocol_and_keep_their_assigned_node_port():
    wanted = {"spec": {"ports": [{"port": 5432, "protocol": "TCP"}, {"port": 8443, "protocol": "TCP"}]}}
    live = {
        "spec": {"ports": [{"port": 8443, "protocol": "TCP", "nodePort": 31000}, {"port": 5432, "protocol": "TCP"}]}
    }
    assert is_contained(wanted, live)


@pytest.mark.parametrize("live", [["a"], ["a", "b", "c"], ["b", "a"]])
def test_other_lists_are_compared_as_a_whole(live):
    assert first_difference({"args": ["a", "b"]}, {"args": live}) is not None


def test_a_truth_is_no_number():
    assert not is_contained({"a": True}, {"a": 1})
    assert not is_contained({"a": 0}, {"a": False})


def test_no_value_is_told_since_it_may_be_a_password():
    desired = {"kind": "Secret", "metadata": {"name": "lab"}, "data": {"password": "c2VzYW1l"}}
    live = {"kind": "Secret", "metadata": {"name": "lab"}, "data": {"password": "b3RoZXI="}}
    assert drift(desired, live) == "data.password"
