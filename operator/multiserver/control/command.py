"""`multiserver operator`: the process that Kubernetes runs."""

import asyncio
import logging
import signal
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import click
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from multiserver.api.names import MANAGER
from multiserver.control import probes
from multiserver.control.credentials import Credentials
from multiserver.control.loop import Loop
from multiserver.control.metrics import ControlMetrics
from multiserver.control.observe import Observer
from multiserver.control.queue import Workers
from multiserver.control.watching import look, watch
from multiserver.kube.client import Kubernetes, connect
from multiserver.kube.lease import LeadershipLostError, Lease, lead

log = logging.getLogger(__name__)

PROBE_PORT = 8080


@dataclass(frozen=True)
class Settings:
    """What the Deployment tells the operator."""

    site_image: str
    """Image for the pods of new sites."""
    watch_namespace: str | None
    """The only namespace to watch; None watches all."""
    pod_namespace: str
    """Where the operator runs and keeps its Lease."""
    pod_name: str
    probe_port: int
    """Port of health and metrics."""
    lease_name: str
    """The Lease for which all replicas of one installation compete, and nobody else."""


@click.command()
@click.option("--site-image", envvar="SITE_IMAGE", required=True, help="Image for the pods of new sites.")
@click.option(
    "--watch-namespace", envvar="WATCH_NAMESPACE", default="", help="The only namespace to watch; empty: all."
)
@click.option("--pod-namespace", envvar="POD_NAMESPACE", required=True, help="Namespace of the operator's own pod.")
@click.option("--pod-name", envvar="POD_NAME", required=True, help="Name of the operator's own pod.")
@click.option("--probe-port", default=PROBE_PORT, show_default=True, help="Port of health and metrics.")
@click.option(
    "--lease-name", envvar="LEASE_NAME", default=MANAGER, show_default=True, help="The Lease of this installation."
)
def operator(
    site_image: str, watch_namespace: str, pod_namespace: str, pod_name: str, probe_port: int, lease_name: str
) -> None:
    """Reconcile every MultiServerCluster of the Kubernetes cluster, or of one namespace."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    asyncio.run(_run(Settings(site_image, watch_namespace or None, pod_namespace, pod_name, probe_port, lease_name)))


async def _run(settings: Settings) -> None:
    """Serve probes, and whenever this process holds the Lease, work; end on SIGTERM."""
    stop = asyncio.Event()
    _end_on_signals(stop)
    credentials = Credentials()
    try:
        async with connect() as kubernetes:
            await _serve_until(stop, kubernetes, settings, credentials)
    finally:
        credentials.close()


def _end_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _serve_until(
    stop: asyncio.Event, kubernetes: Kubernetes, settings: Settings, credentials: Credentials
) -> None:
    observer = Observer(kubernetes, credentials, settings.site_image, settings.pod_namespace)
    registry = CollectorRegistry()
    metrics = ControlMetrics()
    registry.register(metrics)
    workers = Workers(Loop(kubernetes, observer, metrics.tell).round)
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    serving = asyncio.create_task(probes.serve(workers, registry, settings.probe_port))
    leading = asyncio.create_task(_lead(kubernetes, settings, workers, metrics, lambda: _end_on_signals(stop)))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (leading, serving, stopping):
        task.cancel()
    results = await asyncio.gather(leading, serving, stopping, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _lead(
    kubernetes: Kubernetes,
    settings: Settings,
    workers: Workers,
    metrics: ControlMetrics,
    take_signals: Callable[[], None],
) -> None:
    """Work whenever this process leads, for as long as it lives."""
    lease = Lease(settings.pod_namespace, settings.lease_name, f"{settings.pod_name}-{uuid.uuid4().hex[:8]}")

    async def work() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(workers.follow(lambda wake: watch(wake, settings.watch_namespace, take_signals)))
                group.create_task(look(kubernetes, settings.watch_namespace, workers.meet))
        finally:
            metrics.forget()

    while True:
        try:
            await lead(kubernetes, lease, work)
        except LeadershipLostError as error:
            log.warning("%s; waiting for it again", error)
