"""Resources and blueprints for tests: a small valid one with named changes, and any valid one that hypothesis draws."""

import string
from typing import Any

from hypothesis import strategies as st

from multiserver.api.spec import NAMES_LENGTH_MAX, OPERATOR_PARAMETERS, SERVER_NUMBER_MAX, SITES_MAX, Cluster, Spec
from multiserver.resources.blueprint import Blueprint, SitePlan

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def a_cluster(*sites: str, name: str = "lab", **spec: Any) -> Cluster:
    """A cluster in the namespace clinic; its sites are berlin and hamburg if none are named."""
    listed = spec.pop("sites", None) or [{"name": site} for site in sites or ("berlin", "hamburg")]
    return Cluster(
        name=name, namespace="clinic", uid=UID, generation=1, spec=Spec.model_validate({"sites": listed, **spec})
    )


def a_blueprint(cluster: Cluster | None = None) -> Blueprint:
    """A blueprint with short texts in place of certificates; servers are numbered in the order of the sites."""
    cluster = cluster or a_cluster()
    plans = [
        SitePlan(
            site=site,
            server_number=site.server_number or number,
            certificate_pem=f"certificate of {site.name}\n",
            syncthing_device_id=f"DEVICE-{site.name.upper()}",
            image="registry.example/site:1.0",
            given_image="registry.example/site:1.0",
        )
        for number, site in enumerate(cluster.spec.sites, start=1)
    ]
    return Blueprint(cluster, tuple(plans), "certificate of the operator\n", "multiserver-system")


def dns_labels(length_max: int) -> st.SearchStrategy[str]:
    inner = st.text(string.ascii_lowercase + string.digits + "-", max_size=length_max - 2)
    return st.tuples(st.sampled_from(string.ascii_lowercase), inner, st.sampled_from(string.ascii_lowercase)).map(
        "".join
    )


_IDENTIFIERS = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith(("pg_", "multiserver")) and name not in ("postgres", "template0", "template1")
)
_QUANTITIES = st.from_regex(r"[1-9][0-9]{0,4}(\.[0-9]{1,2})?(m|k|M|G|Ki|Mi|Gi|Ti)?", fullmatch=True)
_SIZES = st.from_regex(r"[1-9][0-9]{0,2}(\.[0-9])?(G|T|Mi|Gi|Ti)", fullmatch=True)
_STORAGES = st.fixed_dictionaries({"size": _SIZES}, optional={"storageClassName": dns_labels(20)})
_AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "memory"]), _QUANTITIES)
_RESOURCES = st.fixed_dictionaries({}, optional={"requests": _AMOUNTS, "limits": _AMOUNTS})
_PARAMETERS = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_.]{0,20}", fullmatch=True).filter(lambda name: name not in OPERATOR_PARAMETERS),
    st.text(st.characters(min_codepoint=32, exclude_categories=["C"]), max_size=20),
    max_size=3,
)
_TOLERATIONS = st.fixed_dictionaries(
    {"operator": st.just("Exists")},
    optional={"key": dns_labels(10), "effect": st.just("NoExecute"), "tolerationSeconds": st.integers(0, 600)},
)
_PLACEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "nodeSelector": st.dictionaries(dns_labels(10), dns_labels(10), max_size=2),
        "tolerations": st.lists(_TOLERATIONS, max_size=2),
    },
)
_SERVICES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        "annotations": st.dictionaries(dns_labels(10), st.text(max_size=5), max_size=2),
    },
)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Any cluster whose resource the API server would accept."""
    name = draw(dns_labels(20))
    site_names = dns_labels(NAMES_LENGTH_MAX - len(name)).filter(
        lambda s: s != "operator" and not s.endswith("-server")
    )
    names = draw(st.lists(site_names, min_size=1, max_size=draw(st.sampled_from([1, 3, SITES_MAX])), unique=True))
    numbers = draw(st.permutations(range(1, SERVER_NUMBER_MAX + 1)))
    sites = [
        {"name": site, "serverNumber": number, "placement": draw(_PLACEMENTS), "service": draw(_SERVICES)}
        for site, number in zip(names, numbers, strict=False)
    ]
    database = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "name": _IDENTIFIERS,
                "owner": _IDENTIFIERS,
                "storage": _STORAGES,
                "parameters": _PARAMETERS,
                "resources": _RESOURCES,
            },
        )
    )
    files = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "folders": st.lists(dns_labels(40).map(lambda name: {"name": name}), max_size=3),
                "storage": _STORAGES,
                "resources": _RESOURCES,
            },
        )
    )
    more = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "deletionPolicy": st.sampled_from(["Retain", "Delete"]),
                "schema": st.sampled_from(names).map(lambda site: {"site": site}),
                "imagePullSecrets": st.lists(dns_labels(20).map(lambda name: {"name": name}), max_size=2),
                "imagePullPolicy": st.sampled_from(["Always", "IfNotPresent", "Never"]),
            },
        )
    )
    return a_cluster(name=name, sites=sites, database=database, files=files, **more)
