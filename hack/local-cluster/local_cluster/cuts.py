"""Cutting and healing lines: between two clusters, or between the pods of two sites in one cluster."""

import re
from collections.abc import Iterable
from contextlib import suppress

from hack.common.command import CommandFailed, run
from local_cluster import rules
from local_cluster.errors import LocalClusterError
from local_cluster.network import COMMAND_TIMEOUT_SECONDS, inside, nft
from local_cluster.places import Checkout, Cluster
from local_cluster.rules import CUT_CHAIN, SITES_TABLE, Link

# A cluster or a site, or a namespace and a site: the letters which Kubernetes allows in both.
END = re.compile(r"([a-z0-9-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def links_of(end_a: str, end_b: str, *, one_way: bool) -> set[Link]:
    """Return the directions that a cut of two ends drops: both, or only from the first to the second.

    Raises LocalClusterError if an end cannot be one, or if both are the same.
    """
    for end in (end_a, end_b):
        if not END.fullmatch(end):
            raise LocalClusterError(f"{end!r} is neither a cluster, nor SITE, nor NAMESPACE/SITE")
    if end_a == end_b:
        raise LocalClusterError(f"{end_a} cannot be cut from itself; give two different names")
    there = Link(end_a, end_b)
    return {there} if one_way else {there, there.reverse}


def between_sites(cluster: Cluster) -> set[Link]:
    """Return the directions between sites that are cut in this cluster."""
    listing = [*inside(cluster), "nft", "-j", "list", "chain", *SITES_TABLE.split(), CUT_CHAIN]
    return _listed(listing)


def set_between_sites(cluster: Cluster, links: set[Link]) -> None:
    """Make these directions, and no others, the ones that are cut in this cluster."""
    nft(rules.cuts_between_sites(links), cluster)


def between_clusters(checkout: Checkout) -> set[Link]:
    """Return the directions between clusters of the checkout that are cut."""
    return _listed(["nft", "-j", "list", "chain", "bridge", checkout.bridge, CUT_CHAIN])


def set_between_clusters(checkout: Checkout, clusters: dict[str, Cluster], links: set[Link]) -> None:
    """Make these directions, and no others, the ones that are cut between the clusters."""
    ports = {name: cluster.bridge_port for name, cluster in clusters.items()}
    known = {link for link in links if link.source in ports and link.target in ports}
    nft(rules.cuts_between_clusters(checkout.bridge, ports, known))


def unknown_sites(cluster: Cluster, ends: Iterable[str]) -> list[str]:
    """Return those ends of which this cluster has never had a pod: perhaps a site that is misspelt."""
    listing = [*inside(cluster), "nft", "-j", "list", "table", *SITES_TABLE.split()]
    known = rules.sites_in(run(listing, timeout_seconds=COMMAND_TIMEOUT_SECONDS))
    return [end for end in ends if end not in known]


def _listed(command: list[str]) -> set[Link]:
    """Read the links out of a chain; a chain that is not there cuts nothing."""
    with suppress(CommandFailed):
        return rules.links_in(run(command, timeout_seconds=COMMAND_TIMEOUT_SECONDS))
    return set()
