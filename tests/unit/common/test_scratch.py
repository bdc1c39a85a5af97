import tempfile
from pathlib import Path

import pytest

from tests.scratch import scratch_folder


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "usual"))
    return tmp_path / "usual"


@pytest.mark.usefixtures("usual")
def test_memory_is_used_where_enough_is_free(tmp_path: Path) -> None:
    assert scratch_folder(tmp_path, 1) == tmp_path


def test_memory_is_left_alone_where_little_is_free_or_there_is_none(usual: Path, tmp_path: Path) -> None:
    assert scratch_folder(tmp_path, 2**60) == usual
    assert scratch_folder(tmp_path / "missing", 0) == usual


def test_who_sets_tmpdir_is_obeyed(usual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(usual))
    assert scratch_folder(tmp_path, 0) == usual
