import hashlib
import io
import json
import tarfile

from local_cluster import images


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() if file else b"" for name, file in files.items()}


def test_an_archive_is_what_docker_save_writes():
    parts = members(images.pause(b"program"))
    (manifest,) = json.loads(parts["manifest.json"])
    assert manifest["RepoTags"] == ["localhost/pause:1"]
    config = parts[manifest["Config"]]
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    (layer,) = (parts[name] for name in manifest["Layers"])
    assert json.loads(config)["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert members(layer) == {"pause": b"program"}


def test_the_same_program_makes_the_same_bytes():
    assert images.pause(b"program") == images.pause(b"program")


def test_busybox_has_its_names_as_links_and_a_folder_for_everybody():
    (manifest,) = json.loads(members(images.busybox(b"program", ["busybox", "sh"]))["manifest.json"])
    layer = members(images.busybox(b"program", ["busybox", "sh"]))[manifest["Layers"][0]]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("bin/sh").linkname == "busybox"
        assert tar.getmember("tmp").mode == 0o1777
        assert [member.name for member in tar if member.name == "bin/busybox"] == ["bin/busybox"]
