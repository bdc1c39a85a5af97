"""The command line: reads arguments, calls what does the work, prints what came of it."""

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from hack.common.cli import ToolGroup
from hack.common.lock import file_lock
from hack.common.progress import say, step
from local_cluster import builds, cuts, network, packages, runtime, sources, status
from local_cluster import cluster as lifecycle
from local_cluster.addresses import AddressFile, addresses_of
from local_cluster.errors import LocalClusterError
from local_cluster.places import MACHINE_FOLDER, Checkout, Cluster, check_name
from local_cluster.rules import Link

DEFAULT_NAME = "local"
ADDRESSES = AddressFile(MACHINE_FOLDER)
in_checkout = click.make_pass_decorator(Checkout)
output_option = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
cluster_option = click.option("--cluster", "name", help="Only this cluster.")


@click.group(cls=ToolGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--checkout",
    type=click.Path(path_type=Path, resolve_path=True),
    default=Path(__file__).parents[3],
    help="Work on the clusters of another checkout, even of one that is gone.  [default: this one]",
)
@click.pass_context
def main(context: click.Context, checkout: Path) -> None:
    """Real Kubernetes clusters on this machine, one or several side by side, for demo and tests. Needs root."""
    context.obj = Checkout(checkout)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--in-memory", is_flag=True, help="Keep all that a new cluster holds in memory: quicker than many disks.")
@in_checkout
def up(checkout: Checkout, names: tuple[str, ...], in_memory: bool) -> None:
    """Start clusters, or repair them; by default one called `local`."""
    names = tuple(dict.fromkeys(check_name(name) for name in names)) or (DEFAULT_NAME,)
    packages.ensure()
    built = builds.ensure()
    with file_lock(checkout.lock):
        clusters = [
            Cluster(checkout, name, ADDRESSES.allocate(checkout.id, str(checkout.root), name)) for name in names
        ]
        with step(f"bring up {', '.join(names)}"):
            _in_parallel(clusters, lambda cluster: lifecycle.up(cluster, built, in_memory=in_memory))
    for cluster in clusters:
        click.echo(cluster.kubeconfig)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@in_checkout
def down(checkout: Checkout, names: tuple[str, ...]) -> None:
    """Remove clusters with all they hold; by default all of this checkout."""
    with file_lock(checkout.lock):
        existing = _clusters(checkout)
        for name in names:
            if name not in existing:
                say(f"{name}: there is no such cluster")
        chosen = [cluster for name, cluster in existing.items() if not names or name in names]
        for cluster in chosen:
            lifecycle.down(cluster)
            ADDRESSES.release(checkout.id, cluster.name)
            network.remove_shared(checkout, ADDRESSES.read)
        runtime.remove_kubelet_socket()
        _forget(checkout)


@main.command()
@click.argument("image", metavar="IMAGE_ARCHIVE_OR_NAME")
@cluster_option
@in_checkout
def load(checkout: Checkout, image: str, name: str | None) -> None:
    """Load an image into all clusters: a docker or OCI archive, or one that buildah, podman or docker has."""
    clusters = _chosen(checkout, name)
    with sources.archive_of(image) as archive:
        for cluster in clusters:
            runtime.load(cluster, archive)


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--one-way", is_flag=True, help="Drop only what A sends to B.")
@cluster_option
@in_checkout
def cut(checkout: Checkout, a: str, b: str, one_way: bool, name: str | None) -> None:
    """Cut the line between two clusters, or between the pods of two sites.

    If both names are clusters, and --cluster is not given, the two clusters are cut from each other. Otherwise A and B
    are sites (label multiserver.dev/site; NAMESPACE/SITE for one namespace only), cut in the chosen cluster or in all.
    Pods that are made later are cut as well.
    """
    links = cuts.links_of(a, b, one_way=one_way)
    _change_cuts(checkout, (a, b), name, lambda existing: existing | links)


@main.command()
@click.argument("ends", nargs=-1, metavar="[A B]")
@cluster_option
@in_checkout
def heal(checkout: Checkout, ends: tuple[str, ...], name: str | None) -> None:
    """Undo a cut, in both directions; without names, all of them."""
    if len(ends) not in (0, 2):
        raise click.UsageError("heal takes two names, or none for everything that is cut")
    if ends:
        links = cuts.links_of(*ends, one_way=False)
        _change_cuts(checkout, (ends[0], ends[1]), name, lambda existing: existing - links)
        return
    with file_lock(checkout.lock):
        for cluster in _chosen(checkout, name):
            cuts.set_between_sites(cluster, set())
        if name is None:
            cuts.set_between_clusters(checkout, _clusters(checkout), set())


@main.command("status")
@output_option
@cluster_option
@in_checkout
def show_status(checkout: Checkout, name: str | None, output: str) -> None:
    """Say how the clusters are; ends with 1 if one is not ready."""
    found = [
        status.of(cluster) for cluster in (_clusters(checkout).values() if name is None else _chosen(checkout, name))
    ]
    links = [str(link) for link in sorted(cuts.between_clusters(checkout))]
    if output == "json":
        document = {"clusters": [one.as_dict() for one in found], "cuts_between_clusters": links}
        click.echo(json.dumps(document, indent=2))
    else:
        for line in status.lines(found, links):
            click.echo(line)
    if not all(one.ready for one in found):
        raise SystemExit(1)


@main.command()
@click.argument("name", required=False)
@in_checkout
def kubeconfig(checkout: Checkout, name: str | None) -> None:
    """Print the path of a cluster's kubeconfig."""
    click.echo(_one(checkout, name).kubeconfig)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--cluster", "name", help="Which cluster, if there are several.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@in_checkout
def kubectl(checkout: Checkout, name: str | None, arguments: tuple[str, ...]) -> None:
    """Run kubectl with a cluster's kubeconfig."""
    cluster = _one(checkout, name)
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    os.execve(checkout.kubectl, ["kubectl", *arguments], environment)


def _clusters(checkout: Checkout) -> dict[str, Cluster]:
    """Return all clusters of the checkout, by name."""
    found = addresses_of(ADDRESSES.read(), checkout.id)
    return {name: Cluster(checkout, name, addresses) for name, addresses in sorted(found.items())}


def _chosen(checkout: Checkout, name: str | None) -> list[Cluster]:
    """Return the named cluster, or all; an error if there is none."""
    clusters = _clusters(checkout)
    if name is None and clusters:
        return list(clusters.values())
    if name in clusters:
        return [clusters[name]]
    there = ", ".join(clusters) or "none"
    raise LocalClusterError(f"there is no cluster {name or DEFAULT_NAME!r} (there: {there}); start one with `up`")


def _one(checkout: Checkout, name: str | None) -> Cluster:
    """Return the named cluster; without a name the only one, or the one called `local`."""
    clusters = _clusters(checkout)
    if name is None and len(clusters) > 1 and DEFAULT_NAME not in clusters:
        raise LocalClusterError(f"there are several clusters ({', '.join(clusters)}); say which one is meant")
    if name is None and len(clusters) > 1:
        name = DEFAULT_NAME
    return _chosen(checkout, name)[0]


def _change_cuts(
    checkout: Checkout,
    ends: tuple[str, str],
    name: str | None,
    change: Callable[[set[Link]], set[Link]],
) -> None:
    with file_lock(checkout.lock):
        clusters = _clusters(checkout)
        if name is None and all(end in clusters for end in ends):
            cuts.set_between_clusters(checkout, clusters, change(cuts.between_clusters(checkout)))
            return
        for cluster in _chosen(checkout, name):
            for end in cuts.unknown_sites(cluster, ends):
                say(f"{cluster.name}: no pod of a site {end!r} has been here yet; a cut will hold for those to come")
            cuts.set_between_sites(cluster, change(cuts.between_sites(cluster)))


def _in_parallel(clusters: Iterable[Cluster], work: Callable[[Cluster], None]) -> None:
    """Work on all clusters at once; every failure is said, and the first one ends the program when all are through."""
    with ThreadPoolExecutor() as pool:
        futures = {cluster.name: pool.submit(work, cluster) for cluster in clusters}
    failures = [(name, error) for name, future in futures.items() if (error := future.exception())]
    for name, error in failures[1:]:
        say(f"{name}: {error}")
    if failures:
        raise failures[0][1]


def _forget(checkout: Checkout) -> None:
    """Remove the checkout's folder when its last cluster is gone."""
    if not _clusters(checkout):
        checkout.kubectl.unlink(missing_ok=True)
        if checkout.folder.exists():
            checkout.folder.rmdir()
