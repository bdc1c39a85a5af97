"""The text form of rows is read as PostgreSQL writes it."""

import pytest

from tests.chaos.records import read_record


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("(1,a,)", ("1", "a", None)),
        ('("")', ("",)),
        ('(,"")', (None, "")),
        ('("a, b","say ""x""",2)', ("a, b", 'say "x"', "2")),
        ('("""")', ('"',)),
        (r'("\\n")', (r"\n",)),
        ('("(1,2)")', ("(1,2)",)),
    ],
)
def test_a_record_is_read(text: str, values: tuple[str | None, ...]) -> None:
    assert read_record(text) == values
