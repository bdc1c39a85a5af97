"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from multiserver.prepare.atomic import make_folder, write_if_different
from multiserver.prepare.errors import PrepareError


def test_a_file_is_written_once_and_only_again_if_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert write_if_different(path, b"key")
    first = path.stat().st_ino
    assert not write_if_different(path, b"key")
    assert path.stat().st_ino == first
    assert write_if_different(path, b"another")
    assert path.read_bytes() == b"another"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def test_a_mode_that_lets_others_read_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"key")
    path.chmod(0o644)
    assert write_if_different(path, b"key")
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_attempt_left_is_in_no_ones_way(tmp_path: Path) -> None:
    (tmp_path / ".key.pem.unfinished").write_bytes(b"half")
    write_if_different(tmp_path / "key.pem", b"key")
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PrepareError, match=r"file/folder cannot be written"):
        make_folder(tmp_path / "file" / "folder")
    with pytest.raises(PrepareError, match=r"file/key cannot be written"):
        write_if_different(tmp_path / "file" / "key", b"key")
