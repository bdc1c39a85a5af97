"""How differing keys are found: buckets, portions, and what two states tell."""

from hypothesis import given
from hypothesis import strategies as st

from multiserver.replication.buckets import (
    BUCKETS_MAX,
    Checksum,
    Difference,
    State,
    bucket_count,
    differences,
    differing_buckets,
    is_settled,
    lacking,
    portions,
)

KEYS = st.integers(min_value=0, max_value=10**10)
STATES = st.builds(
    State,
    key=st.sampled_from(["(1)", "(1.0)"]),
    version=st.integers(min_value=0, max_value=3),
    present=st.booleans(),
    content=st.sampled_from([None, 1, 2]),
)


@given(KEYS)
def test_the_number_of_buckets_is_a_power_of_two_that_fits_the_table(keys: int) -> None:
    count = bucket_count(keys)
    assert count & (count - 1) == 0
    assert 1 <= count <= BUCKETS_MAX
    assert keys / count <= 1024 or count == BUCKETS_MAX


@given(KEYS, KEYS)
def test_a_larger_table_never_has_fewer_buckets(one: int, other: int) -> None:
    assert bucket_count(min(one, other)) <= bucket_count(max(one, other))


CHECKSUMS = st.dictionaries(st.integers(0, 8), st.builds(Checksum, st.integers(1, 3), st.integers(0, 2)), max_size=8)


@given(CHECKSUMS, CHECKSUMS)
def test_a_bucket_differs_unless_both_sites_say_the_same_of_it(
    own: dict[int, Checksum], peer: dict[int, Checksum]
) -> None:
    differing = differing_buckets(own, peer)
    assert differing == dict(sorted(differing_buckets(peer, own).items()))
    for bucket in own.keys() | peer.keys():
        assert (bucket in differing) == (own.get(bucket) != peer.get(bucket))


@given(st.dictionaries(st.integers(), st.integers(1, 100)), st.integers(1, 150))
def test_portions_hold_every_bucket_once_and_no_more_keys_than_allowed(buckets: dict[int, int], most: int) -> None:
    found = list(portions(buckets, most))
    assert [bucket for portion in found for bucket in portion] == list(buckets)
    assert all(len(portion) == 1 or sum(buckets[bucket] for bucket in portion) <= most for portion in found)


SIDES = st.dictionaries(st.integers(0, 5), STATES)


@given(SIDES, SIDES)
def test_equal_sides_have_no_differences_and_others_have_them_in_both_views(
    own: dict[int, State], peer: dict[int, State]
) -> None:
    assert differences(own, own) == {}
    assert differences(own, peer).keys() == differences(peer, own).keys()


@given(SIDES, SIDES)
def test_after_taking_what_is_lacking_the_own_site_lacks_nothing(own: dict[int, State], peer: dict[int, State]) -> None:
    found = differences(own, peer)
    taken = {hashed: d.peer for hashed, d in found.items() if d.peer and d.peer_version > d.own_version}
    assert len(lacking(found.values())) == len(taken)
    assert lacking(differences(own | taken, peer).values()) == []


def state(version: int, content: int = 1) -> State:
    return State("(1)", version, present=True, content=content)


def test_a_key_text_alone_is_no_difference() -> None:
    assert differences({7: State("(1.0)", 5, present=True)}, {7: State("(1.00)", 5, present=True)}) == {}


def test_a_difference_is_settled_when_the_sites_are_equal_or_both_have_moved_on() -> None:
    before = Difference(state(5), state(9))
    assert is_settled(before, None)
    assert is_settled(before, Difference(state(9), state(11)))
    assert is_settled(before, Difference(state(12), state(11)))


def test_a_difference_persists_while_one_site_lacks_what_the_other_had() -> None:
    before = Difference(state(5), state(9))
    assert not is_settled(before, before)
    assert not is_settled(before, Difference(state(5), state(11)))
    assert not is_settled(Difference(None, state(9)), Difference(None, state(9)))


def test_equal_versions_with_different_rows_are_damage_and_never_settled() -> None:
    damage = Difference(state(5, content=1), state(5, content=2))
    assert damage.is_damage
    assert not is_settled(damage, damage)
    assert not is_settled(Difference(state(4), state(5)), damage)
    assert Difference(state(0), None).is_damage


def test_what_one_site_has_forgotten_and_the_other_not_yet_is_no_difference() -> None:
    assert Difference(state(0), state(9)).is_collected(9)
    assert Difference(None, State("(1)", 9, present=False)).is_collected(9)
    assert not Difference(state(0), state(9)).is_collected(8)
    assert not Difference(state(0, content=1), state(9, content=2)).is_collected(9)
    assert not Difference(None, state(9)).is_collected(9)


def test_the_author_of_a_difference_is_the_site_of_its_newest_version() -> None:
    assert Difference(state((7 << 10) | 3), state((8 << 10) | 2)).author == 2
