"""How full a volume is and why it cannot be written."""

import errno
import os
from pathlib import Path

import pytest

from multiserver.machine.volumes import explain, read_volume, write_problem


def test_a_volume_is_measured(tmp_path: Path) -> None:
    report = read_volume("data", tmp_path)
    assert report.name == "data"
    assert 0 < report.free_bytes < report.capacity_bytes


def test_a_folder_that_can_be_written_has_no_problem_and_stays_empty(tmp_path: Path) -> None:
    assert write_problem(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_missing_volume_is_told(tmp_path: Path) -> None:
    assert write_problem(tmp_path / "away").endswith("it does not exist: is the volume mounted?")


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOSPC, "the volume is full: enlarge its storage.size or delete what is not needed"),
        (errno.EROFS, "the volume is read-only, often after a fault of the disk: repair it and restart the pod"),
        (
            errno.EACCES,
            f"user {os.getuid()} may not write there: the volume must belong to the group of the pod's fsGroup",
        ),
    ],
)
def test_each_cause_has_its_way_out(number: int, way_out: str) -> None:
    sentence = explain(OSError(number, os.strerror(number)), Path("/volume"))
    assert sentence == f"/volume cannot be written ({os.strerror(number)}): {way_out}"
