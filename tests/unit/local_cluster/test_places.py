from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cluster.addresses import CLUSTER_NUMBERS
from local_cluster.errors import LocalClusterError
from local_cluster.places import CLUSTER_NAME, Checkout, check_name
from tests.unit.local_cluster.gen import cluster

DEVICE_NAME_LENGTH = 15
SOCKET_PATH_LENGTH = 107


def test_two_checkouts_share_no_name():
    one, other = Checkout(Path("/src/one")), Checkout(Path("/src/other"))
    assert one.id != other.id
    assert one.bridge != other.bridge
    assert one.folder != other.folder


def test_the_kernel_takes_the_longest_names():
    longest = cluster(name="a" * 30, cluster_number=CLUSTER_NUMBERS[-1])
    assert len(longest.bridge_port) <= DEVICE_NAME_LENGTH
    assert len(str(longest.containerd_socket)) <= SOCKET_PATH_LENGTH


@pytest.mark.parametrize("name", ["", "Berlin", "berlin_1", "1a", "-a", "a-", "a" * 31, "a.b", "a/b", "a\n"])
def test_a_name_that_is_no_host_name_is_refused(name: str):
    with pytest.raises(LocalClusterError, match="cannot be the name of a cluster"):
        check_name(name)


@given(st.from_regex(CLUSTER_NAME, fullmatch=True))
def test_good_names_stay_as_they_are(name: str):
    assert check_name(name) == name
