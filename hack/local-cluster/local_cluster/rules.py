"""The nftables rules, rendered as text that `nft -f` takes as one transaction; applying them twice changes nothing.

A cut is one or two links: a link has a direction, and its packets are dropped. What is cut is written nowhere but in
the rules themselves; each carries its link as a comment.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

SITES_TABLE = "ip multiserver"
CUT_CHAIN = "cut"
# What the names of the sets begin with that the CNI plugin site-address fills.
SITE_SET = "site/"


@dataclass(frozen=True, order=True)
class Link:
    """The direction from one end to another; an end is a cluster, `SITE` or `NAMESPACE/SITE`."""

    source: str
    target: str

    @property
    def reverse(self) -> "Link":
        """The way back."""
        return Link(self.target, self.source)

    def __str__(self) -> str:
        return f"{self.source} > {self.target}"


def parse_link(text: str) -> Link:
    """Read a link as `str` writes it."""
    source, _, target = text.partition(" > ")
    return Link(source, target)


def keep_inside(bridge: str) -> str:
    """For the machine: packets of the clusters pass no device but their bridge, in neither direction."""
    table = f"inet {bridge}"
    return f"""\
add table {table}
add chain {table} forward {{ type filter hook forward priority filter; policy accept; }}
flush chain {table} forward
add rule {table} forward iifname "{bridge}" oifname != "{bridge}" drop
add rule {table} forward oifname "{bridge}" iifname != "{bridge}" drop
"""


def node(pods: IPv4Network) -> str:
    """For a cluster: pods speak to everybody outside the pod network with the node's address.

    The chain of cuts is made here, empty or as it was. It sees packets after the Services' addresses were replaced
    by those of pods (forward comes after prerouting), so a Service is no way around a cut.
    """
    return f"""\
add table {SITES_TABLE}
add chain {SITES_TABLE} outside {{ type nat hook postrouting priority srcnat; policy accept; }}
flush chain {SITES_TABLE} outside
add rule {SITES_TABLE} outside ip saddr {pods} ip daddr != {pods} masquerade
add chain {SITES_TABLE} {CUT_CHAIN} {{ type filter hook forward priority filter; policy accept; }}
"""


def cuts_between_sites(links: Iterable[Link]) -> str:
    """For a cluster: drop the packets between the addresses of these sites' pods, and no others."""
    links = sorted(links)
    ends = sorted({end for link in links for end in (link.source, link.target)})
    sets = [f"add set {SITES_TABLE} {SITE_SET}{end} {{ type ipv4_addr; }}" for end in ends]
    rules = [
        f"add rule {SITES_TABLE} {CUT_CHAIN} ip saddr @{SITE_SET}{link.source} ip daddr @{SITE_SET}{link.target} "
        f'drop comment "{link}"'
        for link in links
    ]
    return "\n".join([*sets, f"flush chain {SITES_TABLE} {CUT_CHAIN}", *rules]) + "\n"


def cuts_between_clusters(bridge: str, ports: Mapping[str, str], links: Iterable[Link]) -> str:
    """For the machine: drop the frames between these clusters, and no others; `ports` are the clusters' devices."""
    table = f"bridge {bridge}"
    rules = [
        f'add rule {table} {CUT_CHAIN} iifname "{ports[link.source]}" oifname "{ports[link.target]}" '
        f'drop comment "{link}"'
        for link in sorted(links)
    ]
    chain = [
        f"add table {table}",
        f"add chain {table} {CUT_CHAIN} {{ type filter hook forward priority filter; policy accept; }}",
        f"flush chain {table} {CUT_CHAIN}",
    ]
    return "\n".join([*chain, *rules]) + "\n"


def sites_in(listing: str) -> set[str]:
    """Read `SITE` and `NAMESPACE/SITE` of every site that has had a pod from what `nft -j list table` printed."""
    objects = json.loads(listing)["nftables"]
    names: list[str] = [entry["set"]["name"] for entry in objects if "elem" in entry.get("set", {})]
    return {name.removeprefix(SITE_SET) for name in names if name.startswith(SITE_SET)}


def links_in(listing: str) -> set[Link]:
    """Read the links that are cut from what `nft -j list chain` printed."""
    objects = json.loads(listing)["nftables"]
    return {parse_link(entry["rule"]["comment"]) for entry in objects if "comment" in entry.get("rule", {})}
