from pathlib import Path

import pytest

from multiserver.agent.on_change import OnChange


class Applied:
    """Counts how often it was called; fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.failures = failures

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError("not now")


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A file as Kubernetes mounts it: behind a symbolic link to a folder that is swapped as a whole."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "site.json").write_text(version)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "site.json").symlink_to("..data/site.json")
    return tmp_path / "site.json"


def swap(mounted: Path, version: str) -> None:
    new = mounted.with_name("..new")
    new.symlink_to(version)
    new.rename(mounted.with_name("..data"))


async def test_the_present_content_is_applied_once(mounted: Path) -> None:
    applied = Applied()
    turn = OnChange([mounted], applied)
    await turn()
    await turn()
    assert applied.calls == 1


async def test_what_is_in_use_already_is_not_applied_again(mounted: Path) -> None:
    applied = Applied()
    await OnChange([mounted], applied, applied=True)()
    assert applied.calls == 0


async def test_a_swapped_link_is_a_change(mounted: Path) -> None:
    applied = Applied()
    turn = OnChange([mounted], applied, applied=True)
    swap(mounted, "two")
    await turn()
    assert applied.calls == 1


async def test_a_rewritten_file_with_the_same_content_is_none(mounted: Path) -> None:
    applied = Applied()
    turn = OnChange([mounted], applied, applied=True)
    (mounted.parent / "two" / "site.json").write_text("one")
    swap(mounted, "two")
    await turn()
    assert applied.calls == 0


async def test_a_change_that_could_not_be_applied_is_applied_at_the_next_turn(mounted: Path) -> None:
    applied = Applied(failures=1)
    turn = OnChange([mounted], applied)
    with pytest.raises(OSError, match="not now"):
        await turn()
    await turn()
    await turn()
    assert applied.calls == 2


async def test_a_file_that_is_missing_is_told(mounted: Path) -> None:
    turn = OnChange([mounted, mounted.with_name("ca.crt")], Applied())
    with pytest.raises(FileNotFoundError):
        await turn()
