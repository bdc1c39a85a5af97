"""The chart without any value: what it makes, and that all of it is valid."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.chart.helm import CHART, CHECKOUT, Rendered, helm, manifest, program, render
from tests.chart.shell import output

PLAIN = CHECKOUT / "config" / "default"
VARIANTS = [{}, {"watchNamespace": "lab"}, {"networkPolicy": False, "userRoles": False, "replicas": 2}]


def test_lint_finds_nothing() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_plain_manifests_are_the_chart_with_its_defaults() -> None:
    head, _, body = (PLAIN / "operator.yaml").read_text().partition("\n")

    assert "do not edit" in head
    assert body == manifest(), "run `make manifests`"


def test_kustomize_builds_the_plain_manifests() -> None:
    built = Rendered(output(program("kubectl"), "kustomize", str(PLAIN)))

    assert {each["kind"] for each in built.objects} == {each["kind"] for each in render().objects} | {"Namespace"}
    assert {each["metadata"].get("namespace") for each in built.objects} <= {None, "multiserver-system"}


@pytest.mark.parametrize("values", VARIANTS, ids=str)
@pytest.mark.parametrize("version", ["1.31", "1.34"])
def test_every_object_is_valid(values: dict[str, object], version: str) -> None:
    for each in render(values).objects:
        kubernetes_validate.validate(each, version, strict=True)


def test_definition_is_the_same_file_and_no_copy() -> None:
    crds = CHART / "crds"

    assert crds.is_symlink()
    assert crds.resolve() == CHECKOUT / "crds"


def test_package_holds_the_definition(tmp_path: Path) -> None:
    output(program("helm"), "package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")

    packed = yaml.safe_load(output(program("helm"), "show", "crds", str(package)))

    assert packed["metadata"]["name"] == "multiserverclusters.multiserver.dev"


def test_operator_runs_restricted() -> None:
    rendered = render()

    assert rendered.pod["securityContext"]["runAsNonRoot"] is True
    assert rendered.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert rendered.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_only_the_temporary_folder_is_writable_and_it_is_no_disk() -> None:
    rendered = render()

    assert rendered.container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert rendered.pod["volumes"] == [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}]


def test_selector_labels_reach_the_pods() -> None:
    rendered = render()
    deployment = rendered.one("Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]

    assert selector["app.kubernetes.io/name"] == "multiserver-operator"
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert rendered.one("Service")["spec"]["selector"] == selector
    assert rendered.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == selector
