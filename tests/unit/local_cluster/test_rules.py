import json
from ipaddress import IPv4Network

import pytest

from local_cluster import cuts, rules
from local_cluster.errors import LocalClusterError
from local_cluster.rules import Link

BOTH_WAYS = {Link("berlin", "hamburg"), Link("hamburg", "berlin")}


def test_a_cut_goes_both_ways_unless_asked_otherwise():
    assert cuts.links_of("berlin", "hamburg", one_way=False) == BOTH_WAYS
    assert cuts.links_of("berlin", "hamburg", one_way=True) == {Link("berlin", "hamburg")}


@pytest.mark.parametrize("end", ["", 'a"b', "a b", "a > b", "a/b/c", "a; drop", "-a"])
def test_an_end_that_could_not_be_written_into_a_rule_is_refused(end: str):
    with pytest.raises(LocalClusterError, match="neither a cluster, nor SITE, nor NAMESPACE/SITE"):
        cuts.links_of("berlin", end, one_way=False)


def test_an_end_is_not_cut_from_itself():
    with pytest.raises(LocalClusterError, match="cannot be cut from itself"):
        cuts.links_of("berlin", "berlin", one_way=False)


def test_cut_sites_lose_the_packets_between_their_pods():
    assert rules.cuts_between_sites(BOTH_WAYS).splitlines() == [
        "add set ip multiserver site/berlin { type ipv4_addr; }",
        "add set ip multiserver site/hamburg { type ipv4_addr; }",
        "flush chain ip multiserver cut",
        'add rule ip multiserver cut ip saddr @site/berlin ip daddr @site/hamburg drop comment "berlin > hamburg"',
        'add rule ip multiserver cut ip saddr @site/hamburg ip daddr @site/berlin drop comment "hamburg > berlin"',
    ]


def test_healing_empties_the_chain():
    assert rules.cuts_between_sites([]) == "flush chain ip multiserver cut\n"


def test_cut_clusters_lose_the_frames_between_their_cables():
    ports = {"berlin": "ms-abc-2", "hamburg": "ms-abc-3"}
    text = rules.cuts_between_clusters("ms-abc", ports, [Link("berlin", "hamburg")])
    assert text.splitlines()[-2:] == [
        "flush chain bridge ms-abc cut",
        'add rule bridge ms-abc cut iifname "ms-abc-2" oifname "ms-abc-3" drop comment "berlin > hamburg"',
    ]


def test_applying_the_nodes_rules_again_leaves_cuts_alone():
    text = rules.node(IPv4Network("10.219.7.0/24"))
    assert "flush chain ip multiserver outside" in text
    assert "flush chain ip multiserver cut" not in text


def test_packets_leave_the_bridge_in_no_direction():
    text = rules.keep_inside("ms-abc")
    assert 'iifname "ms-abc" oifname != "ms-abc" drop' in text
    assert 'oifname "ms-abc" iifname != "ms-abc" drop' in text


def test_what_is_cut_is_read_back_from_the_rules():
    comments = [{"rule": {"comment": str(link), "handle": 4}} for link in sorted(BOTH_WAYS)]
    listing = {"nftables": [{"metainfo": {}}, {"chain": {"name": "cut"}}, *comments, {"rule": {"handle": 9}}]}
    assert rules.links_in(json.dumps(listing)) == BOTH_WAYS


def test_only_sites_that_have_had_a_pod_are_known():
    sets = [
        {"set": {"name": "site/berlin", "elem": ["10.219.7.4"]}},
        {"set": {"name": "site/lab/berlin", "elem": ["10.219.7.4"]}},
        {"set": {"name": "site/hambrg"}},
        {"set": {"name": "service-ips", "elem": ["10.220.7.1"]}},
    ]
    assert rules.sites_in(json.dumps({"nftables": sets})) == {"berlin", "lab/berlin"}
