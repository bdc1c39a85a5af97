"""The operator may do all that its builders need, and nothing more."""

import ast

import pytest

from tests.chart.helm import CHECKOUT, Rendered, render, rules

BUILDERS = CHECKOUT / "operator" / "multiserver" / "resources"
CHANGE = {"get", "list", "watch", "create", "patch"}
KEPT = {"persistentvolumeclaims", "secrets"}
"""What outlives the resource; only Kubernetes' garbage collector deletes it, and only if deletionPolicy says so."""
BESIDES = {
    "multiserver.dev/multiserverclusters": {"get", "list", "watch"},
    "multiserver.dev/multiserverclusters/status": {"patch"},
    "pods": {"list", "watch", "delete"},
    "events": {"create", "list"},
}
"""What the operator needs that no builder makes."""


def built_kinds() -> set[str]:
    """The kinds that the builders name, such as apps/v1/StatefulSet: the first argument of every call of `named`."""
    return {
        str(call.args[0].value)
        for path in BUILDERS.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "named"
        if isinstance(call.args[0], ast.Constant)
    }


def resource(kind: str) -> str:
    """The resource of a kind, such as apps/statefulsets."""
    *group, _, name = kind.split("/")
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return "/".join([*group, plural.lower()])


def granted(rendered: Rendered, kind: str) -> dict[str, set[str]]:
    granted: dict[str, set[str]] = {}
    for name, verb in rules(rendered.one(kind, "multiserver-operator")):
        granted.setdefault(name, set()).add(verb)
    return granted


def wanted() -> dict[str, set[str]]:
    children = {resource(kind) for kind in built_kinds()}
    return {child: CHANGE if child in KEPT else CHANGE | {"delete"} for child in children} | BESIDES


def test_every_builder_is_seen() -> None:
    assert {"apps/v1/StatefulSet", "v1/Secret", "networking.k8s.io/v1/NetworkPolicy"} <= built_kinds()


def test_in_one_namespace_exactly_what_is_needed() -> None:
    assert granted(render({"watchNamespace": "lab"}), "Role") == wanted()


def test_in_all_namespaces_it_may_besides_watch_for_the_definition() -> None:
    definitions = {"apiextensions.k8s.io/customresourcedefinitions": {"list", "watch"}}

    assert granted(render(), "ClusterRole") == wanted() | definitions


@pytest.mark.parametrize("values", [{}, {"watchNamespace": "lab"}], ids=str)
def test_no_right_is_given_by_wildcard(values: dict[str, object]) -> None:
    rendered = render(values)

    for role in rendered.all("ClusterRole") + rendered.all("Role"):
        assert not [right for right in rules(role) if "*" in "".join(right)]


def test_lease_is_the_operators_own() -> None:
    role = render({"watchNamespace": "lab"}).one("Role", "-leader-election")

    assert role["metadata"]["namespace"] == "multiserver-system"
    assert {name for name, _ in rules(role)} == {"coordination.k8s.io/leases"}
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["multiserver-operator"]]


def test_users_of_a_namespace_may_view_or_change_its_clusters() -> None:
    rendered = render()
    view, edit = rendered.one("ClusterRole", "-view"), rendered.one("ClusterRole", "-edit")

    assert {name for name, _ in [*rules(view), *rules(edit)]} == {"multiserver.dev/multiserverclusters"}
    assert {verb for _, verb in rules(view)} == {"get", "list", "watch"}
