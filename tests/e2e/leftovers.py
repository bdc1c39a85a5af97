"""What a cluster must consist of, and no more: objects in Kubernetes, slots and subscriptions in its databases."""

import json
from collections.abc import Iterable

from hack.demo.mesh import Mesh
from hack.demo.waiting import wait_for

GONE_SECONDS = 60
"""How long Kubernetes may take to remove what is deleted."""
KINDS = "statefulset,service,configmap,secret,pvc,serviceaccount,cronjob,job,networkpolicy,poddisruptionbudget,pod"
VOLUMES = ("data", "files", "repository")


def assert_nothing_left_over(mesh: Mesh, *left: str) -> None:
    """There is what is declared and nothing else, but for the volumes and Secrets of the sites that have left."""
    numbers = {one["name"]: one["serverNumber"] for one in mesh.status()["sites"]}
    wait_for(
        "there is what is declared and nothing else (missing, left over)",
        lambda: (declared(mesh, left) - objects(mesh), objects(mesh) - declared(mesh, left)),
        until=lambda seen: seen == (set(), set()),
        timeout_seconds=GONE_SECONDS,
    )
    for site in mesh.sites:
        links = "\n".join(sorted(f"multiserver_{number}" for name, number in numbers.items() if name != site.name))
        slots = "select regexp_replace(slot_name, '_[0-9a-f]{8}$', '') from pg_replication_slots order by 1"
        assert site.administer(slots) == links, site.name
        assert site.administer("select subname from pg_subscription where subenabled order by 1") == links, site.name
        assert site.administer("select count(*) from pg_replication_origin") == str(len(numbers) - 1), site.name


def objects(mesh: Mesh) -> set[str]:
    """Give all objects of a cluster. What is being deleted is there until it is gone."""
    label = f"multiserver.dev/cluster={mesh.name}"
    listed = json.loads(mesh.kubectl("get", KINDS, "-l", label, "-o", "json"))["items"]
    return {f"{item['kind']}/{item['metadata']['name']}" for item in listed}


def declared(mesh: Mesh, left: Iterable[str] = ()) -> set[str]:
    """Give the objects that the operator is to make, and what is kept of sites that have left."""
    name = mesh.name
    shared = {
        f"Service/{name}",
        f"PodDisruptionBudget/{name}",
        f"Secret/{name}-app",
        f"Secret/{name}-backup",
        f"Secret/{name}-operator-identity",
    }
    return shared.union(
        *(_of_site(f"{name}-{site.name}") | _kept(f"{name}-{site.name}") for site in mesh.sites),
        *(_kept(f"{name}-{site}") for site in left),
    )


def _of_site(site: str) -> set[str]:
    return {
        f"StatefulSet/{site}",
        f"Pod/{site}-0",
        f"Service/{site}",
        f"Service/{site}-server",
        f"ConfigMap/{site}",
        f"ServiceAccount/{site}",
        f"NetworkPolicy/{site}",
        f"CronJob/{site}-backup-data",
        f"CronJob/{site}-backup-files",
    }


def _kept(site: str) -> set[str]:
    secrets = (f"Secret/{site}-{purpose}" for purpose in ("identity", "app"))
    return {*secrets, *(f"PersistentVolumeClaim/{site}-{purpose}" for purpose in VOLUMES)}
