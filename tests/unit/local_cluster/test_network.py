import json

import pytest

from local_cluster.network import foreign_routes

DEFAULT = {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"}


def listing(*routes: dict[str, str]) -> str:
    return json.dumps([DEFAULT, *routes])


def test_own_routes_are_not_foreign():
    own = (
        {"type": "blackhole", "dst": "10.218.0.0/16"},
        {"dst": "10.218.0.0/24", "dev": "ms-abcdef"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
    )
    assert foreign_routes(listing(*own)) == []


@pytest.mark.parametrize("destination", ["10.219.4.0/24", "10.0.0.0/8", "10.220.1.1"])
def test_a_network_that_the_machine_uses_otherwise_is_found(destination: str):
    assert foreign_routes(listing({"dst": destination, "dev": "tun0"})) == [f"{destination} dev tun0"]
