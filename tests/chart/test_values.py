"""One test for each value of the chart; a last one sees that none is forgotten."""

import json
import re

import yaml

from tests.chart.helm import CHART, notes, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())["properties"]


def test_replicas() -> None:
    assert render({"replicas": 2}).one("Deployment")["spec"]["replicas"] == 2


def test_watch_namespace_empty_watches_all() -> None:
    rendered = render()

    assert rendered.environment["WATCH_NAMESPACE"] == ""
    assert rendered.one("ClusterRoleBinding")["roleRef"]["kind"] == "ClusterRole"


def test_watch_namespace_limits_the_operator_to_it() -> None:
    rendered = render({"watchNamespace": "lab"})

    assert rendered.environment["WATCH_NAMESPACE"] == "lab"
    assert rendered.one("RoleBinding", RELEASE_END)["metadata"]["namespace"] == "lab"
    assert rendered.one("RoleBinding", RELEASE_END)["subjects"][0]["namespace"] == "multiserver-system"
    assert not rendered.all("ClusterRole") + rendered.all("ClusterRoleBinding")


def test_image() -> None:
    image = {"repository": "registry.example:5000/multiserver/operator", "tag": "abc", "pullPolicy": "Always"}

    container = render({"image": image}).container

    assert container["image"] == "registry.example:5000/multiserver/operator:abc"
    assert container["imagePullPolicy"] == "Always"


def test_site_image() -> None:
    rendered = render({"siteImage": {"repository": "registry.example/site", "tag": "abc"}})

    assert rendered.environment["SITE_IMAGE"] == "registry.example/site:abc"


def test_images_have_the_version_of_the_chart_if_no_tag_is_given() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]

    assert render().container["image"].endswith(f":{version}")
    assert str(render().environment["SITE_IMAGE"]).endswith(f":{version}")


def test_image_pull_secrets() -> None:
    assert render({"imagePullSecrets": [{"name": "login"}]}).pod["imagePullSecrets"] == [{"name": "login"}]


def test_service_account_annotations() -> None:
    account = render({"serviceAccount": {"annotations": {"a": "b"}}}).one("ServiceAccount")

    assert account["metadata"]["annotations"] == {"a": "b"}


def test_user_roles() -> None:
    assert len(render().all("ClusterRole")) == 3
    assert len(render({"userRoles": False}).all("ClusterRole")) == 1


def test_network_policy() -> None:
    assert render().one("NetworkPolicy")["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]
    assert not render({"networkPolicy": False}).all("NetworkPolicy")


def test_resources() -> None:
    assert render({"resources": {"limits": {"memory": "1Gi"}}}).container["resources"]["limits"] == {"memory": "1Gi"}


def test_pod_annotations() -> None:
    template = render({"podAnnotations": {"a": "b"}}).one("Deployment")["spec"]["template"]

    assert template["metadata"]["annotations"] == {"a": "b"}


def test_pod_labels_come_besides_the_selector() -> None:
    labels = render({"podLabels": {"team": "b"}}).one("Deployment")["spec"]["template"]["metadata"]["labels"]

    assert labels["team"] == "b"
    assert labels["app.kubernetes.io/name"] == "multiserver-operator"


def test_node_selector() -> None:
    assert render({"nodeSelector": {"a": "b"}}).pod["nodeSelector"] == {"a": "b"}


def test_tolerations() -> None:
    assert render({"tolerations": [{"operator": "Exists"}]}).pod["tolerations"] == [{"operator": "Exists"}]


def test_affinity() -> None:
    assert render({"affinity": {"nodeAffinity": {}}}).pod["affinity"] == {"nodeAffinity": {}}


def test_topology_spread_constraints() -> None:
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}

    assert render({"topologySpreadConstraints": [constraint]}).pod["topologySpreadConstraints"] == [constraint]


def test_priority_class_name() -> None:
    assert render({"priorityClassName": "high"}).pod["priorityClassName"] == "high"


def test_release_name_is_joined_to_the_names_once() -> None:
    assert render(release="lab").one("Deployment")["metadata"]["name"] == "lab-multiserver-operator"
    assert render().one("Deployment")["metadata"]["name"] == "multiserver-operator"


def test_notes_speak_of_the_watched_namespace_and_of_the_definition() -> None:
    text = notes({"watchNamespace": "lab"})

    assert "the namespace lab" in text
    assert "kubectl get msc --namespace lab" in text
    assert "kubectl apply --server-side" in text


def test_every_value_has_a_schema_a_test_and_a_line_in_the_readme() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    readme = (CHART / "README.md").read_text()

    assert VALUES.keys() == SCHEMA.keys() - {"global"}
    for value in VALUES:
        assert any(name.startswith(_snake(value)) for name in tested), f"no test for {value}"
        assert f"`{value}" in readme, f"no line for {value}"


RELEASE_END = "multiserver-operator"


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()
