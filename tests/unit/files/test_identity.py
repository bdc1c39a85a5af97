"""Device ids. That Syncthing computes the same from a certificate is shown by the real meshes of tests/files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.files.identity import check_character, device_id
from multiserver.identity.certificates import make_syncthing

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
FROM_SYNCTHINGS_OWN_TESTS = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2"


def parts(text: str) -> list[tuple[str, str]]:
    """Give the four parts of an id, each with its check character."""
    plain = text.replace("-", "")
    return [(plain[start : start + 13], plain[start + 13]) for start in range(0, len(plain), 14)]


OURS = device_id(make_syncthing().certificate_pem.encode())


@pytest.mark.parametrize("text", [FROM_SYNCTHINGS_OWN_TESTS, OURS], ids=["Syncthing's own", "ours"])
def test_every_part_carries_its_check_character(text: str) -> None:
    assert [len(group) for group in text.split("-")] == [7] * 8
    assert [check_character(part) for part, _ in parts(text)] == [check for _, check in parts(text)]


@given(st.text(ALPHABET, min_size=13, max_size=13), st.integers(0, 12), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(part: str, place: int, other: str) -> None:
    wrong = part[:place] + other + part[place + 1 :]
    assert wrong == part or check_character(wrong) != check_character(part)


def test_two_certificates_have_two_ids() -> None:
    assert device_id(make_syncthing().certificate_pem.encode()) != device_id(make_syncthing().certificate_pem.encode())


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="PEM"):
        device_id(b"no certificate")
