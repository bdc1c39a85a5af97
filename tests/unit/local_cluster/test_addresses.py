from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cluster.addresses import (
    ALL_NETWORKS,
    CLUSTER_NUMBERS,
    AddressFile,
    ClusterAddresses,
    Table,
    addresses_of,
    allocate,
    release,
)
from local_cluster.errors import LocalClusterError

CHECKOUTS = st.sampled_from(["aaaaaa", "bbbbbb", "cccccc"])
NAMES = st.sampled_from(["local", "berlin", "hamburg", "leipzig"])
HISTORIES = st.lists(st.tuples(st.booleans(), CHECKOUTS, NAMES), max_size=30)


def played(history: list[tuple[bool, str, str]]) -> Table:
    """Play clusters that come and go."""
    table: Table = {}
    for comes, checkout, name in history:
        table = allocate(table, checkout, f"/{checkout}", name) if comes else release(table, checkout, name)
    return table


def test_a_cluster_has_the_addresses_of_its_two_numbers():
    addresses = ClusterAddresses(checkout_number=3, cluster_number=7)
    assert addresses.machine == IPv4Address("10.218.3.1")
    assert addresses.node == IPv4Address("10.218.3.7")
    assert addresses.pods == IPv4Network("10.219.7.0/24")
    assert addresses.services == IPv4Network("10.220.7.0/24")
    assert addresses.api_service == IPv4Address("10.220.7.1")


@given(HISTORIES)
def test_no_two_clusters_of_the_machine_share_an_address(history: list[tuple[bool, str, str]]):
    table = played(history)
    all_addresses = [one for checkout in table for one in addresses_of(table, checkout).values()]
    for one, other in combinations(all_addresses, 2):
        assert one.node != other.node
        assert not one.pods.overlaps(other.pods)
        assert not one.services.overlaps(other.services)
    bridges = {checkout: entry.number for checkout, entry in table.items()}
    assert len(set(bridges.values())) == len(bridges)


@given(HISTORIES, CHECKOUTS, NAMES)
def test_a_cluster_keeps_its_addresses_whatever_the_others_do(
    history: list[tuple[bool, str, str]], checkout: str, name: str
):
    table = allocate({}, checkout, "/x", name)
    before = addresses_of(table, checkout)[name]
    for comes, other_checkout, other_name in history:
        if (other_checkout, other_name) != (checkout, name):
            played_on = allocate(table, other_checkout, "/y", other_name)
            table = played_on if comes else release(table, other_checkout, other_name)
    assert addresses_of(table, checkout)[name] == before


@given(HISTORIES)
def test_nothing_is_left_when_all_are_gone(history: list[tuple[bool, str, str]]):
    table = played(history)
    for checkout, entry in list(table.items()):
        for name in entry.clusters:
            table = release(table, checkout, name)
    assert table == {}


@pytest.mark.parametrize("number", [CLUSTER_NUMBERS[0], CLUSTER_NUMBERS[-1]])
def test_the_first_and_the_last_number_give_usable_addresses(number: int):
    addresses = ClusterAddresses(255, number)
    assert addresses.node in addresses.bridge_network.hosts()
    assert addresses.node != addresses.machine
    for network, whole in zip(
        (addresses.bridge_network, addresses.pods, addresses.services), ALL_NETWORKS, strict=True
    ):
        assert network.subnet_of(whole)


def test_a_full_machine_says_the_way_out():
    table: Table = {}
    for number in CLUSTER_NUMBERS:
        table = allocate(table, "aaaaaa", "/a", f"c{number}")
    with pytest.raises(LocalClusterError, match=r"all 253 address blocks .* `local-cluster down`"):
        allocate(table, "aaaaaa", "/a", "one-more")


def test_the_file_remembers_what_another_process_allocated(tmp_path: Path):
    first = AddressFile(tmp_path).allocate("aaaaaa", "/a", "local")
    second = AddressFile(tmp_path).allocate("bbbbbb", "/b", "local")
    assert (first.cluster_number, second.cluster_number) == (2, 3)
    assert AddressFile(tmp_path).allocate("aaaaaa", "/a", "local") == first
    AddressFile(tmp_path).release("aaaaaa", "local")
    assert AddressFile(tmp_path).read().keys() == {"bbbbbb"}
