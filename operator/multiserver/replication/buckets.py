"""Buckets of keys, and what their checksums and states tell of two sites. Pure.

Each side gives one checksum a bucket; only where these differ are single keys looked at. See sql/22_compare.sql.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

KEYS_IN_A_BUCKET = 1024
"""About so many: one differing row makes both sides name that many keys, some 50 KB."""
BUCKETS_MAX = 1 << 16
KEYS_AT_ONCE = 100_000
"""States of so many keys of each side, some 70 MB, are held in memory at a time; each portion costs a pass at both
sides: over the register, to verify over the table too."""
SITE_BITS = 1023
"""The lower bits of a version that are its site (sql/03_versions.sql)."""


class Checksum(NamedTuple):
    """All keys of one bucket at one site."""

    keys: int
    checksum: int


class State(NamedTuple):
    """What one site holds of a key."""

    key: str
    """PostgreSQL's text form of the key as a row."""
    version: int
    """0 if it has none that counts: it was collected, or never written since the table is replicated."""
    present: bool
    content: int | None = None
    """Hash of the row; None if the row is absent, was not looked at, or is one that the site refuses to store."""

    def is_same(self, other: "State") -> bool:
        """Whether two sites hold the same, whatever the text of the key; what is not known is no difference."""
        if (self.version, self.present) != (other.version, other.present):
            return False
        return self.content is None or other.content is None or self.content == other.content


@dataclass(frozen=True)
class Difference:
    """A key that two sites hold differently; None where a site knows nothing of it."""

    own: State | None
    peer: State | None

    @property
    def key(self) -> str:
        """The key as a person reads it."""
        return (self.own or self.peer or State("", 0, present=False)).key

    @property
    def peer_key(self) -> str:
        """The key as the peer writes it."""
        return self.peer.key if self.peer else self.key

    @property
    def own_version(self) -> int:
        """The version at the own site."""
        return self.own.version if self.own else 0

    @property
    def peer_version(self) -> int:
        """The version at the peer."""
        return self.peer.version if self.peer else 0

    @property
    def newest(self) -> int:
        """The greater version: what both sites must have in the end."""
        return max(self.own_version, self.peer_version)

    @property
    def oldest(self) -> int:
        """The smaller version."""
        return min(self.own_version, self.peer_version)

    @property
    def is_damage(self) -> bool:
        """Whether the versions are equal and yet the rows are not, which no change explains."""
        return self.own_version == self.peer_version

    def is_collected(self, horizon: int) -> bool:
        """Whether the sites differ only in what they still remember of a version that both may forget."""
        own, peer = self.own or State("", 0, present=False), self.peer or State("", 0, present=False)
        return self.newest <= horizon and own._replace(version=0).is_same(peer._replace(version=0))

    @property
    def author(self) -> int:
        """Server number of the site that wrote the newest version; 0 if there is none."""
        return self.newest & SITE_BITS


def bucket_count(keys: int) -> int:
    """Give the number of buckets for a table with about so many keys: a power of two."""
    wanted = max(keys, 1) // KEYS_IN_A_BUCKET
    return min(1 << wanted.bit_length(), BUCKETS_MAX)


def differing_buckets(own: Mapping[int, Checksum], peer: Mapping[int, Checksum]) -> dict[int, int]:
    """Give the buckets that differ, in order, with the number of keys that the fuller side has there."""
    nothing = Checksum(0, 0)
    return {
        bucket: max(own.get(bucket, nothing).keys, peer.get(bucket, nothing).keys)
        for bucket in sorted(own.keys() | peer.keys())
        if own.get(bucket) != peer.get(bucket)
    }


def portions(buckets: Mapping[int, int], keys_max: int = KEYS_AT_ONCE) -> Iterator[list[int]]:
    """Divide buckets into portions of at most so many keys; a bucket that alone has more is a portion of its own."""
    portion: list[int] = []
    size = 0
    for bucket, keys in buckets.items():
        if portion and size + keys > keys_max:
            yield portion
            portion, size = [], 0
        portion.append(bucket)
        size += keys
    if portion:
        yield portion


def differences(own: Mapping[int, State], peer: Mapping[int, State]) -> dict[int, Difference]:
    """Give the keys that are held differently, by the hash of the key.

    The text of a key may differ between sites (1.0 and 1.00 are equal numbers), so it is not compared.
    """
    nothing = State("", 0, present=False)
    found = (
        (hashed, Difference(own.get(hashed), peer.get(hashed)))
        for hashed in own.keys() | peer.keys()
        if not own.get(hashed, nothing).is_same(peer.get(hashed, nothing))
    )
    return dict(found)


def lacking(found: Iterable[Difference]) -> list[Difference]:
    """Give the differences of which the peer has the newest version and the own site lacks it."""
    return [difference for difference in found if difference.peer_version > difference.own_version]


def is_settled(before: Difference, now: Difference | None) -> bool:
    """Whether a difference has gone: the sites are equal, or both have moved on to the newest of before."""
    if now is None:
        return True
    if now.is_damage:
        return False
    return now.oldest >= before.newest > 0
