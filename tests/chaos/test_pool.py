"""Pieces are worked on side by side, and whoever stops listening ends all of them in order."""

import time
from pathlib import Path

import pytest

from tests.chaos.pool import side_by_side
from tests.chaos.soak import ranges
from tests.postgres.servers import eventually


def test_every_piece_is_done_once() -> None:
    assert sorted(side_by_side(lambda number: number * 2, range(7), jobs=3)) == [0, 2, 4, 6, 8, 10, 12]


def test_a_long_piece_holds_up_no_other() -> None:
    assert list(side_by_side(lambda number: time.sleep(0 if number else 1) or number, range(4), jobs=2))[-1] == 0


def test_what_is_under_way_cleans_up_when_nobody_listens_any_more(tmp_path: Path) -> None:
    begun, cleaned = tmp_path / "begun", tmp_path / "cleaned"

    def work(number: int) -> int:
        if number:
            try:
                begun.touch()
                time.sleep(60)
            finally:
                cleaned.touch()
        eventually(begun.exists, "the other piece is under way")
        return number

    results = side_by_side(work, range(2), jobs=2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert cleaned.exists()


@pytest.mark.parametrize(
    ("numbers", "words"), [([3, 1, 2], "1 to 3"), ([1, 2, 4, 7, 6], "1 to 2, 4, 6 to 7"), ([5], "5"), ([], "")]
)
def test_seeds_are_told_in_words(numbers: list[int], words: str) -> None:
    assert ranges(numbers) == words
