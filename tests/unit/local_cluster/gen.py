"""Valid objects for the tests of the local cluster."""

from pathlib import Path

from local_cluster.addresses import ClusterAddresses
from local_cluster.places import Checkout, Cluster

CHECKOUT = Checkout(Path("/src/project"))


def cluster(name: str = "berlin", checkout_number: int = 3, cluster_number: int = 7) -> Cluster:
    return Cluster(CHECKOUT, name, ClusterAddresses(checkout_number, cluster_number))
