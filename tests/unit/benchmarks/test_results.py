"""What samples amount to, and what the page says of it."""

from pathlib import Path

from benchmarks.catalogue import NATIVE, OURS, Measure
from benchmarks.report import amount, promise, ratio
from benchmarks.results import Results, Sample, Spread

TPS = Measure("tps", "Transactions", "1/s", "higher", 0.8)
WAL = Measure("wal", "WAL", "B", "lower", 2.2)


def results(*samples: Sample) -> Results:
    return Results({"begun": "2026-01-01"}, list(samples))


def test_the_ratio_is_taken_within_each_round() -> None:
    """The second round was slow for both, and says the same as the first one."""
    measured = results(
        Sample("tps", NATIVE, 1, 1000), Sample("tps", OURS, 1, 800),
        Sample("tps", NATIVE, 2, 100), Sample("tps", OURS, 2, 80),
    )  # fmt: skip

    assert measured.ratio("tps", OURS) == Spread(0.8, 0.8, 0.8, 2)


def test_a_round_that_one_system_missed_has_no_ratio() -> None:
    measured = results(Sample("tps", NATIVE, 1, 1000), Sample("tps", OURS, 2, 800))

    assert measured.ratio("tps", OURS) is None


def test_sizes_are_kept_apart() -> None:
    measured = results(Sample("tps", OURS, 1, 5, size=2), Sample("tps", OURS, 1, 7, size=4))

    assert measured.sizes("tps") == [2, 4]
    assert measured.values("tps", OURS, size=4) == {1: 7}


def test_a_promise_is_kept_or_missed_in_the_direction_of_its_measure() -> None:
    measured = results(
        Sample("tps", NATIVE, 1, 100), Sample("tps", OURS, 1, 85),
        Sample("wal", NATIVE, 1, 100), Sample("wal", OURS, 1, 230),
    )  # fmt: skip

    assert promise(measured, TPS) == "≥ 0.8: kept"
    assert promise(measured, WAL) == "≤ 2.2: **missed**"


def test_amounts_have_three_digits_and_their_range() -> None:
    assert amount(Spread(12345.6, 12000, 13000, 3)) == "12 300 (12 000 to 13 000)"
    assert ratio(Spread(0.756, 0.7, 0.8, 3)) == "0.76 (0.70 to 0.80)"
    assert ratio(Spread(0.756, 0.756, 0.756, 1)) == "0.76"
    assert amount(None) == ""


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    measured = results(Sample("tps", OURS, 1, 5.5))
    measured.write(tmp_path / "below" / "results.json")

    assert Results.read(tmp_path / "below" / "results.json") == measured
