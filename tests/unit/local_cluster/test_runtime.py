from pathlib import Path

from local_cluster import mounts, runtime

MOUNTINFO = """\
25 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 25 0:27 / /run/netns rw shared:2 - tmpfs tmpfs rw
32 31 0:4 net:[4026532] /run/netns/ms-abc-x rw shared:3 - nsfs nsfs rw
"""


def test_the_names_of_loaded_images_are_read_from_what_ctr_prints():
    output = "unpacking localhost/a:1 (sha256:1f)...done\nunpacking docker.io/library/b:2 (sha256:2f)...done\n"
    assert runtime.imported_names(output) == ["localhost/a:1", "docker.io/library/b:2"]


def test_mount_points_are_read_from_the_kernels_list():
    assert mounts.points(MOUNTINFO) == [Path("/"), Path("/run/netns"), Path("/run/netns/ms-abc-x")]
