"""The StatefulSet of a site: one pod with the site's PostgreSQL, Syncthing and agent."""

from multiserver.api import paths
from multiserver.api.names import (
    AGENT_PORT,
    DECLARED_HASH_ANNOTATION,
    FILES_PORT,
    GIVEN_IMAGE_ANNOTATION,
    POSTGRES_PORT,
    PROBE_PORT,
    RESTART_HASH_ANNOTATION,
)
from multiserver.api.spec import Cluster, Resources, Site
from multiserver.resources import postgres_settings
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.mounts import volume
from multiserver.resources.objects import Object, named, short_hash
from multiserver.resources.pods import container, pod_spec, wanted

STOP_SECONDS = 300
"""How long a site may take to stop: PostgreSQL writes all it has in memory to the volume."""
_PG_STOP_SECONDS = STOP_SECONDS - 20

_VOLUMES = ("config", "identity", "app", "backup", "data", "files", "repository", "run", "tmp", "shm")
_PREPARE_RESOURCES = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "512Mi"})
_AGENT_RESOURCES = Resources(requests={"cpu": "50m", "memory": "128Mi"}, limits={"memory": "1Gi"})
"""The agent runs the backups too."""


def stateful_set(blueprint: Blueprint, site: str) -> Object:
    """Build the site's StatefulSet.

    A changed template alone restarts nothing (OnDelete): the control loop deletes pods, one site at a time.
    """
    names = blueprint.names
    return named(
        "apps/v1/StatefulSet",
        names.site(site),
        blueprint.cluster,
        site=site,
        component="server",
        annotations={
            GIVEN_IMAGE_ANNOTATION: blueprint.plan(site).given_image,
            DECLARED_HASH_ANNOTATION: declared_hash(blueprint.cluster, blueprint.plan(site).site),
        },
        spec={
            "replicas": 1,
            "serviceName": names.site(site),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": names.selector(site)},
            "template": _template(blueprint, site),
        },
    )


def declared_hash(cluster: Cluster, site: Site) -> str:
    """Give a hash that changes when the resource declares another pod for the site; the same in every release."""
    spec = cluster.spec
    declared = {
        "image": [spec.image, spec.image_pull_policy, [secret.wire() for secret in spec.image_pull_secrets]],
        "placement": site.placement.wire(),
        "resources": [spec.database.resources.wire(), spec.files.resources.wire()],
        "settings": postgres_settings.restart_hash(spec.database.parameters),
    }
    return short_hash(declared)


def _template(blueprint: Blueprint, site: str) -> Object:
    settings = postgres_settings.settings(blueprint.cluster, site)
    return {
        "metadata": {
            "labels": blueprint.names.labels(site, "server"),
            "annotations": {RESTART_HASH_ANNOTATION: postgres_settings.restart_hash(settings)},
        },
        "spec": pod_spec(
            blueprint,
            site,
            terminationGracePeriodSeconds=STOP_SECONDS,
            topologySpreadConstraints=_spread(blueprint),
            initContainers=[_prepare(blueprint, site)],
            containers=[_postgres(blueprint, site), _syncthing(blueprint, site), _agent(blueprint, site)],
            volumes=[volume(blueprint.names, site, name) for name in _VOLUMES],
        ),
    }


def _spread(blueprint: Blueprint) -> list[Object]:
    """Sites share neither zone nor node where that is possible; where not, they run all the same."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": blueprint.names.selector()},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def _prepare(blueprint: Blueprint, site: str) -> Object:
    mounts = [name for name in _VOLUMES if name not in ("app", "shm")]
    command = ["multiserver", "prepare"]
    return container(blueprint, site, "prepare", command, mounts, resources=wanted(_PREPARE_RESOURCES))


def _postgres(blueprint: Blueprint, site: str) -> Object:
    """PostgreSQL has no liveness probe: its postmaster ends by itself when it is broken, and while it recovers from a
    crash, for hours if need be, a restart would only make it begin again.

    The agent answers for it whether it takes connections: a program started in the container every few seconds would
    cost the node more than the server itself at rest.
    """
    command = ["postgres", "-D", str(paths.PGDATA), "-c", f"config_file={paths.POSTGRES_CONFIG}"]
    mounts = ["config", "identity", "data", "repository", "run", "tmp", "shm"]
    # A plain SIGTERM would wait until the last client has left, and then for the slowest peer.
    stop = ["multiserver", "stop", f"--timeout={_PG_STOP_SECONDS}"]
    return container(
        blueprint,
        site,
        "postgres",
        command,
        mounts,
        ports=[_port("postgres", POSTGRES_PORT)],
        readinessProbe=_ask_agent("/readyz/postgres", PROBE_PORT, every_seconds=3, failures=3),
        lifecycle={"preStop": {"exec": {"command": stop}}},
        resources=wanted(blueprint.cluster.spec.database.resources),
    )


def _syncthing(blueprint: Blueprint, site: str) -> Object:
    """Syncthing has no probe: it ends by itself when it is broken, and its health is the agent's to judge.

    A site whose files are in trouble still serves its database.
    """
    flags = ["--no-browser", "--no-default-folder", "--no-restart", "--no-upgrade"]
    return container(
        blueprint,
        site,
        "syncthing",
        ["syncthing", "serve", f"--home={paths.SYNCTHING_HOME}", *flags],
        ["files", "run", "tmp"],
        ports=[_port("files", FILES_PORT)],
        resources=wanted(blueprint.cluster.spec.files.resources),
    )


def _agent(blueprint: Blueprint, site: str) -> Object:
    return container(
        blueprint,
        site,
        "agent",
        ["multiserver", "agent"],
        [name for name in _VOLUMES if name != "shm"],
        ports=[_port("agent", AGENT_PORT), _port("probe", PROBE_PORT)],
        startupProbe=_ask_agent("/healthz", "probe", every_seconds=2, failures=60),
        livenessProbe=_ask_agent("/healthz", "probe", every_seconds=20, failures=6),
        # Not before the peers were asked whether the site was put back in time.
        readinessProbe=_ask_agent("/readyz", "probe", every_seconds=2, failures=2),
        resources=wanted(_AGENT_RESOURCES),
    )


def _ask_agent(path: str, port: int | str, *, every_seconds: int, failures: int) -> Object:
    """Build a probe; a container knows its own ports by name and those of others by number."""
    return {
        "httpGet": {"path": path, "port": port},
        "timeoutSeconds": 5,
        "periodSeconds": every_seconds,
        "failureThreshold": failures,
    }


def _port(name: str, number: int) -> Object:
    return {"name": name, "containerPort": number, "protocol": "TCP"}
