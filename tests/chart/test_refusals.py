"""Values that cannot be meant are refused before anything reaches Kubernetes."""

from typing import Any

import pytest

from tests.chart.helm import HelmError, manifest

NONSENSE = [
    ({"replica": 2}, "replica"),
    ({"replicas": 3}, "replicas"),
    ({"replicas": "two"}, "replicas"),
    ({"watchNamespace": "Lab"}, "watchNamespace"),
    ({"watchNamespace": "a,b"}, "watchNamespace"),
    ({"image": {"repository": ""}}, "image/repository"),
    ({"image": {"repository": "registry.example/operator:1"}}, "image/repository"),
    ({"image": {"pullPolicy": "Sometimes"}}, "image/pullPolicy"),
    ({"siteImage": {"tag": "a b"}}, "siteImage/tag"),
    ({"imagePullSecrets": ["login"]}, "imagePullSecrets"),
    ({"userRoles": "yes"}, "userRoles"),
    ({"networkPolicy": {}}, "networkPolicy"),
    ({"resources": {"limit": {}}}, "resources"),
    ({"podLabels": {"app.kubernetes.io/name": "other"}}, "podLabels"),
    ({"tolerations": {}}, "tolerations"),
]


@pytest.mark.parametrize(("values", "field"), NONSENSE, ids=[str(values) for values, _ in NONSENSE])
def test_nonsense_is_refused_by_name(values: dict[str, Any], field: str) -> None:
    with pytest.raises(HelmError) as refusal:
        manifest(values)

    assert field in str(refusal.value)
