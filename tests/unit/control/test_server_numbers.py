import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.api.spec import SERVER_NUMBER_MAX
from multiserver.control.plan.server_numbers import NumbersConflictError, assign
from tests.clusters import a_cluster


def sites(**numbers: int | None):
    listed = [{"name": name, **({"serverNumber": number} if number else {})} for name, number in numbers.items()]
    return a_cluster(sites=listed).spec.sites


def test_a_number_given_once_stays_whatever_the_order():
    assert assign(sites(hamburg=None, berlin=None), {"berlin": 1, "hamburg": 2}) == {"hamburg": 2, "berlin": 1}


def test_a_declared_number_is_kept_free_for_its_site():
    assert assign(sites(berlin=None, hamburg=1), {}) == {"berlin": 2, "hamburg": 1}


def test_a_number_of_a_site_that_is_gone_is_not_given_again():
    assert assign(sites(leipzig=None), {"berlin": 1, "hamburg": 2}) == {"leipzig": 3}


def test_a_declared_number_of_another_site_is_refused_with_its_holder():
    with pytest.raises(NumbersConflictError, match="server number 1 of site leipzig is taken by berlin"):
        assign(sites(leipzig=1), {"berlin": 1})


def test_when_all_numbers_are_used_that_is_said():
    with pytest.raises(NumbersConflictError, match="all 63 server numbers are used"):
        assign(sites(new=None), {f"s{number}": number for number in range(1, SERVER_NUMBER_MAX + 1)})


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.integers(1, 8), min_size=1))
def test_numbers_are_unique_and_given_again_are_the_same(declared):
    explicit = [number for number in declared.values() if number]
    if len(set(explicit)) < len(explicit):
        return
    given_now = assign(sites(**declared), {})

    assert len(set(given_now.values())) == len(declared)
    assert assign(sites(**declared), given_now) == given_now
