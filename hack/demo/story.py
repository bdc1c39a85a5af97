"""What the demo shows, step by step, with times."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import yaml

from hack.common.progress import say, step
from hack.demo import operator_install
from hack.demo.kubernetes import Kubernetes
from hack.demo.mesh import Mesh, condition
from hack.demo.site import Site

NAMESPACE = "demo"
OPERATOR_NAMESPACE = "multiserver-system"
FOLDER = "documents"


def tell(kubernetes: Kubernetes) -> None:
    """Install the operator, apply the example, and show rows, files, backups and the status."""
    operator_install.install(kubernetes, OPERATOR_NAMESPACE)
    mesh = Mesh.of_example(kubernetes, NAMESPACE)
    with step(f"{len(mesh.sites)} sites serve and hear each other"):
        mesh.apply()
        mesh.wait_until_healthy()
    with step("rows: one written at each site, read at the others"):
        show_rows(mesh.sites)
    with step("files: one dropped at each site, found at the others"):
        show_files(mesh.sites)
    show_backups(mesh)
    show_status(mesh)


def show_rows(sites: Sequence[Site]) -> None:
    """Make a table at the schema site, write a row at each site, and read every row everywhere."""
    sites[0].sql("create table if not exists visit (id bigserial primary key, site text not null, note text)")
    for site in sites:
        site.await_sql("select to_regclass('visit') is not null", "t")
    written = {site.name: site.sql(f"insert into visit (site) values ('{site.name}') returning id") for site in sites}
    for reader, writer in permutations(sites, 2):
        number = written[writer.name]
        reader.await_sql(f"select site from visit where id = {number}", writer.name)
        say(f"  {reader.name} reads row {number} of {writer.name}")


def show_files(sites: Sequence[Site]) -> None:
    """Drop a file at each site and compare its checksum everywhere."""
    dropped = {site.name: site.drop_file(FOLDER, f"{site.name}.txt", f"from {site.name}\n" * 1000) for site in sites}
    for reader, writer in permutations(sites, 2):
        checksum = dropped[writer.name]
        reader.await_file(FOLDER, f"{writer.name}.txt", checksum)
        say(f"  {reader.name} holds {writer.name}.txt, SHA-256 {checksum[:16]}…")


def show_backups(mesh: Mesh) -> None:
    """Run all backup jobs side by side, and list what each repository of the data holds."""
    jobs = [(site, kind) for site in mesh.sites for kind in ("data", "files")]
    with step("backups of data and files at each site"), ThreadPoolExecutor(len(jobs)) as workers:
        logs = list(workers.map(lambda job: job[0].back_up(job[1]), jobs))
    for (site, kind), log in zip(jobs, logs, strict=True):
        say(f"  {site.name}, {kind}: {log.rstrip().splitlines()[-1]}")
    for site in mesh.sites:
        say(f"  pgbackrest info at {site.name}: {', '.join(backup['label'] for backup in site.backups())}")
    mesh.wait_until("every backup is told", lambda told: condition(told, "BackupsCurrent").get("status") == "True", 60)


def show_status(mesh: Mesh) -> None:
    """Print the status as kubectl gives it."""
    print(mesh.kubectl("get", "msc", mesh.name))
    print(yaml.safe_dump({"status": mesh.status()}, sort_keys=False, width=120))
