"""The CronJobs of a site. A job only asks the site's agent for a backup, follows it, and ends with its true result."""

from typing import Literal

from multiserver.api.names import AGENT_PORT
from multiserver.api.spec import Resources
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.mounts import volume
from multiserver.resources.objects import Object, named
from multiserver.resources.pods import container, pod_spec, wanted

Kind = Literal["data", "files"]

_LIMIT_SECONDS = 12 * 3600
"""A backup that takes longer is given up and counts as failed."""
_LATEST_START_SECONDS = 3600
"""How late a job may start after its time, for example when the control plane was away."""
_TRIES_AGAIN = 2
_VOLUMES = ("config", "identity", "tmp")
_RESOURCES = Resources(requests={"cpu": "20m", "memory": "64Mi"}, limits={"memory": "256Mi"})


def backup_job(blueprint: Blueprint, site: str, kind: Kind) -> Object:
    """Build the CronJob that has the site backed up: its data or its files."""
    names = blueprint.names
    schedule = blueprint.cluster.spec.backup.schedule
    return named(
        "batch/v1/CronJob",
        names.backup_job(site, kind),
        blueprint.cluster,
        site=site,
        component="backup",
        spec={
            "schedule": {"data": schedule.data, "files": schedule.files}[kind],
            # A job that somebody suspended by hand would be missed only when its backup is overdue.
            "suspend": False,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": _LATEST_START_SECONDS,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": names.labels(site, "backup")},
                "spec": {
                    "activeDeadlineSeconds": _LIMIT_SECONDS,
                    "backoffLimit": _TRIES_AGAIN,
                    "template": _template(blueprint, site, kind),
                },
            },
        },
    )


def _template(blueprint: Blueprint, site: str, kind: Kind) -> Object:
    agent = f"https://{blueprint.names.host(site)}:{AGENT_PORT}"
    command = ["multiserver", "backup", "--kind", kind, "--agent", agent]
    return {
        "metadata": {"labels": blueprint.names.labels(site, "backup")},
        "spec": pod_spec(
            blueprint,
            site,
            restartPolicy="Never",
            containers=[container(blueprint, site, "backup", command, list(_VOLUMES), resources=wanted(_RESOURCES))],
            volumes=[volume(blueprint.names, site, name) for name in _VOLUMES],
        ),
    }
