import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiserver.agent.password import make_verifier, matches, prepared

passwords = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(passwords)
def test_a_verifier_matches_the_password_that_it_was_made_from(password: str) -> None:
    assert matches(password, make_verifier(password, iterations=1))


@given(passwords, passwords)
def test_a_verifier_matches_no_other_password(password: str, other: str) -> None:
    if prepared(password) != prepared(other):
        assert not matches(other, make_verifier(password, iterations=1))


def test_two_verifiers_of_one_password_differ() -> None:
    assert make_verifier("secret") != make_verifier("secret")


def test_the_password_does_not_show_in_its_verifier() -> None:
    assert "secret" not in make_verifier("secret")


@pytest.mark.parametrize(
    "stored",
    [None, "", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$x:y$z", "SCRAM-SHA-256$4096:!!$a:b", "a$b$c$d"],
)
def test_what_is_no_scram_verifier_matches_nothing(stored: str | None) -> None:
    assert not matches("secret", stored)


@pytest.mark.parametrize(
    ("written", "hashed"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0007", "\u0007"),
        ("\u00e4\u0007", "\u00e4\u0007"),
    ],
)
def test_passwords_are_prepared_as_rfc_4013_says(written: str, hashed: str) -> None:
    """The examples of the RFC, and that what it forbids is taken as it is, as PostgreSQL does."""
    assert prepared(written) == hashed


def test_a_verifier_that_would_take_hours_to_compare_matches_nothing_and_costs_nothing() -> None:
    salt, keys = "A" * 24, "B" * 44

    assert not matches("secret", f"SCRAM-SHA-256$2147483647:{salt}${keys}:{keys}")
