import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hack.common.cache import cache_folder, content_key, mark_used, prune, replaced_whole

parts = st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=5)


@given(parts, parts)
def test_keys_are_equal_exactly_for_equal_contents(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (content_key(one.items()) == content_key(other.items())) == (one == other)


@given(parts)
def test_the_order_of_the_parts_does_not_matter(one: dict[str, bytes]) -> None:
    assert content_key(one.items()) == content_key(reversed(one.items()))


def test_a_byte_that_moves_between_name_and_content_changes_the_key() -> None:
    assert content_key([("ab", b"c")]) != content_key([("a", b"bc")])


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTISERVER_CACHE", str(tmp_path / "cache"))

    assert cache_folder("images") == tmp_path / "cache" / "images"
    assert cache_folder("images").is_dir()


def test_a_failed_build_leaves_the_old_result(tmp_path: Path) -> None:
    target = tmp_path / "result"
    target.write_text("old")

    with pytest.raises(RuntimeError), replaced_whole(target) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError

    assert target.read_text() == "old"


def test_a_build_after_a_failed_one_starts_from_nothing(tmp_path: Path) -> None:
    target = tmp_path / "result"
    with pytest.raises(RuntimeError), replaced_whole(target) as unfinished:
        (unfinished / "half").mkdir(parents=True)
        raise RuntimeError

    with replaced_whole(target) as unfinished:
        unfinished.mkdir()

    assert list(target.iterdir()) == []
    assert list(tmp_path.iterdir()) == [target]


def test_pruning_keeps_what_was_used_last(tmp_path: Path) -> None:
    for seconds, name in enumerate(("first", "second", "third")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (seconds, seconds))
    mark_used(tmp_path / "first")

    removed = prune(tmp_path.iterdir(), 2)

    assert [path.name for path in removed] == ["second"]
    assert {path.name for path in tmp_path.iterdir()} == {"first", "third"}
