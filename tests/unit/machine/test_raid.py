"""The sentence on disk arrays, from texts as kernels write them."""

from pathlib import Path

import pytest

from multiserver.machine.raid import judge, raid_sentence

NONE = "Personalities : \nunused devices: <none>\n"
WHOLE = """\
Personalities : [raid1] [raid6] [raid5] [raid4]
md1 : active raid1 sdb2[1] sda2[0]
      976630336 blocks super 1.2 [2/2] [UU]
      bitmap: 2/8 pages [8KB], 65536KB chunk

md0 : active raid5 sdc1[2] sdb1[1] sda1[0]
      1953260544 blocks level 5, 64k chunk, algorithm 2 [3/3] [UUU]

unused devices: <none>
"""
DEGRADED = """\
Personalities : [raid1]
md0 : active raid1 sdb1[2](F) sda1[0]
      976630336 blocks super 1.2 [2/1] [U_]
      [==>..................]  recovery = 12.6% (123456/976630336) finish=90.1min speed=100000K/sec

unused devices: <none>
"""
INACTIVE = "Personalities : [raid1]\nmd127 : inactive sda1[0](S)\n      1044160 blocks super 1.2\n"
STRIPED = "Personalities : [raid0]\nmd0 : active raid0 sdb[1] sda[0]\n      2093056 blocks super 1.2 512k chunks\n"


@pytest.mark.parametrize(
    ("mdstat", "sentence"),
    [
        (NONE, "OK: no RAID present"),
        (WHOLE, "OK: RAID md1, md0 complete"),
        (DEGRADED, "RAID: md0 is degraded (1 of 2 disks, failed: sdb1, recovery 13 %): replace the disk"),
        (INACTIVE, "RAID: md127 is inactive: replace the disk"),
        (STRIPED, "OK: RAID md0 complete"),
        ("", "Unknown: the kernel's description of disk arrays is not understood"),
    ],
    ids=["none", "whole", "degraded", "inactive", "striped", "empty"],
)
def test_each_state_has_its_sentence(mdstat: str, sentence: str) -> None:
    assert judge(mdstat) == sentence


def test_a_kernel_without_the_driver_has_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_text("")
    assert raid_sentence(tmp_path / "mdstat") == "OK: no RAID present"


def test_where_the_kernel_shows_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert raid_sentence(tmp_path / "mdstat").startswith("Unknown: ")
    (tmp_path / "mdstat").mkdir()
    assert raid_sentence(tmp_path / "mdstat").startswith("Unknown: ")
