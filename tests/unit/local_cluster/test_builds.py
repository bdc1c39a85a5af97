from pathlib import Path

import pytest

from local_cluster import builds


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTISERVER_CACHE", str(tmp_path))
    return tmp_path


def test_what_was_built_is_not_built_again():
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "program").write_text("whole")

    first = builds.kept("room", "key", make)
    assert builds.kept("room", "key", make) == first
    assert len(made) == 1
    assert (first / "program").read_text() == "whole"


def test_a_half_finished_build_is_made_anew():
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builds.kept("room", "key", fail)
    folder = builds.kept("room", "key", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_the_programs_say_the_version_they_are():
    flags = builds.linker_flags()
    assert f"-X k8s.io/component-base/version.gitVersion={builds.KUBERNETES_VERSION}" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=34" in flags


def test_the_version_said_is_the_one_built():
    assert f"k8s.io/kubernetes {builds.KUBERNETES_VERSION}\n" in (builds.SOURCE / "go.mod").read_text()
