"""kopf's part: watching the resource and its children. Its handlers only wake workers, see `queue`.

No handler tracks state, so kopf adds no finalizer and no annotation, and GitOps tools have nothing to fight.

Beside it, all resources are listed again and again. In one namespace kopf looks only once, as it starts, whether the
resource is defined, and watches for none if the definition comes later.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import kopf

from multiserver.api.crd import GROUP, KIND, PLURAL, VERSION
from multiserver.api.names import CLUSTER_LABEL
from multiserver.control.queue import Key
from multiserver.kube.client import Kubernetes
from multiserver.kube.errors import KubernetesError, NotFoundError

log = logging.getLogger(__name__)

WATCHED_CHILDREN = (
    ("", "v1", "configmaps"),
    ("", "v1", "persistentvolumeclaims"),
    ("", "v1", "pods"),
    ("", "v1", "secrets"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "services"),
    ("apps", "v1", "statefulsets"),
    ("batch", "v1", "cronjobs"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("policy", "v1", "poddisruptionbudgets"),
)
"""Kinds of children whose changes wake their cluster's worker."""

SERVER_TIMEOUT_SECONDS = 300
CONNECT_TIMEOUT_SECONDS = 30
LIST_SECONDS = 10.0
"""Between two lists of all resources: a cluster that no event told of is met this soon."""

Wake = Callable[[Key], None]


class _Connection(kopf.ConnectionInfo):
    """How kopf reaches the API server: as `kube.client` does, whether or not its certificate has optional extensions.

    From Python 3.13 on strict checks are the default, and the authorities of older clusters do not pass them.
    """

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def registry(wake: Wake) -> kopf.OperatorRegistry:
    """Give the handlers: whatever happens to a cluster or one of its children wakes that cluster's worker."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**arguments: Any) -> _Connection | None:
        found = kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
        return _Connection(**{field.name: getattr(found, field.name) for field in fields(found)}) if found else None

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def on_cluster(namespace: str | None, name: str, **_: Any) -> None:
        wake((namespace or "", name))

    for group, version, plural in WATCHED_CHILDREN:

        @kopf.on.event(group, version, plural, labels={CLUSTER_LABEL: kopf.PRESENT}, registry=handlers)
        async def on_child(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
            wake((namespace or "", labels[CLUSTER_LABEL]))

    return handlers


def settings(*, watches_one_namespace: bool) -> kopf.OperatorSettings:
    """Give kopf's settings: bounded watches, children filtered by the API server, nothing written by kopf itself."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    # So long after its watches end kopf kills the process. Here they end with the leadership, and the process lives on.
    chosen.process.ultimate_exiting_timeout = None
    chosen.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    chosen.watching.client_timeout = SERVER_TIMEOUT_SECONDS + 10
    chosen.watching.connect_timeout = CONNECT_TIMEOUT_SECONDS
    # Reading all definitions and namespaces of the Kubernetes cluster is more than one namespace's operator may.
    chosen.scanning.disabled = watches_one_namespace
    for group, version, plural in WATCHED_CHILDREN:
        chosen.watching.label_selectors[group, version, plural] = CLUSTER_LABEL
    return chosen


async def look(kubernetes: Kubernetes, namespace: str | None, meet: Wake) -> None:
    """List the resources of one namespace, or of all, until cancelled, and have each be met."""
    told = ""
    while True:
        why = await _list(kubernetes, namespace, meet)
        if why and why != told:
            log.warning("%s; looked for again every %g s", why, LIST_SECONDS)
        told = why
        await asyncio.sleep(LIST_SECONDS)


async def _list(kubernetes: Kubernetes, namespace: str | None, meet: Wake) -> str:
    """List the resources once; give why that cannot be done, empty if it can."""
    try:
        found = await kubernetes.list_kind(KIND, namespace)
    except NotFoundError:
        return f"the API server knows no {KIND}: install the definition {PLURAL}.{GROUP} (folder crds)"
    except KubernetesError as error:
        return str(error)
    for resource in found:
        meet((resource["metadata"]["namespace"], resource["metadata"]["name"]))
    return ""


async def watch(wake: Wake, namespace: str | None, take_signals: Callable[[], None]) -> None:
    """Watch one namespace, or all, until cancelled.

    `take_signals` sets the process's signal handlers: kopf sets its own as it starts, and they would end the watches
    but not the process.
    """
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry(wake),
        settings=settings(watches_one_namespace=namespace is not None),
        standalone=True,
        namespaces=[namespace] if namespace else [],
        clusterwide=namespace is None,
    )
    take_signals()
    await kopf.run_tasks(tasks, ignored=others)
