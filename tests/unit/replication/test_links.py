"""Which links and settings there must be, without a server."""

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from multiserver.postgres.connect import Certificate
from multiserver.replication.links import desired_links, link_name, peer_conninfo
from multiserver.replication.settings import MAXIMUM_SITES, required_settings

NUMBERS = st.sets(st.integers(1, 1023), min_size=1, max_size=32)


@given(NUMBERS)
def test_every_two_sites_are_linked_both_ways(numbers: set[int]) -> None:
    links = {own: desired_links(own, numbers) for own in numbers}
    for own, other in ((own, other) for own in numbers for other in numbers if own != other):
        assert other in links[own].slots_for
        assert own in links[other].subscriptions_to
    assert all(own not in links[own].slots_for for own in numbers)


def test_a_link_is_named_after_the_site_at_its_other_end() -> None:
    assert link_name(7) == "multiserver_7"


def test_the_way_to_a_peer_proves_both_ends_and_names_no_secret() -> None:
    certificate = Certificate(*(PurePosixPath(f"/etc/{name}") for name in ("tls.crt", "tls.key", "ca.crt")))
    conninfo = peer_conninfo("lab-hamburg-server.clinic.svc", 5432, "app", certificate, own_number=1)
    for part in (
        "sslmode=verify-full",
        "sslcert=/etc/tls.crt",
        "sslrootcert=/etc/ca.crt",
        "user=multiserver_peer",
        "application_name=multiserver_1",
        "connect_timeout=5",
        "tcp_user_timeout=15000",
    ):
        assert part in conninfo
    assert "password" not in conninfo


@given(st.integers(1, MAXIMUM_SITES))
def test_growing_to_the_largest_cluster_changes_no_setting(sites: int) -> None:
    assert required_settings(sites) == required_settings(MAXIMUM_SITES)


def test_there_is_room_for_a_link_to_every_other_site() -> None:
    settings = required_settings()
    for name in (
        "max_replication_slots",
        "max_wal_senders",
        "max_active_replication_origins",
        "max_logical_replication_workers",
        "max_worker_processes",
    ):
        assert int(settings[name]) >= MAXIMUM_SITES - 1, name
    assert settings["wal_level"] == "logical"
