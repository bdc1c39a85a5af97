import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.resources.quantities import canonical, canonical_map, whole_bytes


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("100m", "100m"),
        ("2000", "2k"),
        ("1.5G", "1500M"),
        ("20Gi", "20Gi"),
        ("512Ki", "512Ki"),
        ("0.5Ki", "512"),
        ("1.25Ki", "1280"),
        ("007", "7"),
        ("0", "0"),
        ("0.0001", "100u"),
        ("0.00000000001", "1n"),
        ("1.1Ki", "1127"),
    ],
)
def test_an_amount_is_written_as_the_api_server_stores_it(written, stored):
    assert canonical(written) == stored


@given(st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,3})?(k|M|G|Ki|Mi|Gi)?", fullmatch=True))
def test_the_stored_form_is_stable_and_the_same_amount_in_whole_bytes_rounded_up(quantity):
    assert canonical(canonical(quantity)) == canonical(quantity)
    assert 0 <= whole_bytes(canonical(quantity)) - whole_bytes(quantity) <= 1


def test_every_amount_of_a_map_is_written_so():
    assert canonical_map({"cpu": "0.1", "memory": "2048Mi"}) == {"cpu": "100m", "memory": "2Gi"}


def test_what_is_no_amount_is_refused_with_an_example():
    with pytest.raises(ValueError, match="'lots' is no amount: write for example 500m"):
        canonical("lots")
