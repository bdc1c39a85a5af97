from pathlib import Path

import pytest

from hack.images.engine import DOCKER, PODMAN, Build, Engine, buildah

BUILDAH = buildah(Path("/cache/buildah"))
BUILD = Build(
    Path("/checkout"),
    "site",
    "localhost/multiserver/site:0123",
    arguments={"BASE": "debian:forky-slim", "PG_MAJOR": "18"},
    certificates=Path("/etc/ssl/ca.crt"),
)
BUILD_FLAGS = [
    "--build-arg=BASE=debian:forky-slim",
    "--build-arg=PG_MAJOR=18",
    "--target=site",
    "--tag=localhost/multiserver/site:0123",
    "--secret=id=ca,src=/etc/ssl/ca.crt",
    "/checkout",
]


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (DOCKER, ["docker", "build"]),
        (PODMAN, ["podman", "build", "--layers"]),
        (
            BUILDAH,
            [
                "unshare",
                "--mount",
                "buildah",
                "--root=/cache/buildah/images",
                "--runroot=/cache/buildah/run",
                "build",
                "--layers",
                "--isolation=chroot",
            ],
        ),
    ],
)
def test_a_build_differs_between_engines_only_in_its_first_words(engine: Engine, words: list[str]) -> None:
    assert engine.build(BUILD) == [*words, *BUILD_FLAGS]


def test_a_tree_is_asked_for_as_a_tar() -> None:
    build = Build(Path("/checkout"), "site-base", tree=Path("/cache/tree.tar"))

    assert build.flags() == ["--target=site-base", "--output=type=tar,dest=/cache/tree.tar", "/checkout"]


def test_a_build_without_wishes_is_the_context_alone() -> None:
    assert Build(Path("/base")).flags() == ["/base"]


@pytest.mark.parametrize("engine", [DOCKER, PODMAN])
def test_docker_and_podman_save_under_the_image_s_full_name(engine: Engine) -> None:
    assert engine.save("localhost/multiserver/site:0123", Path("/cache/site.tar")) == [
        engine.name,
        "save",
        "--output=/cache/site.tar",
        "localhost/multiserver/site:0123",
    ]


def test_buildah_writes_the_full_name_into_a_docker_archive() -> None:
    assert BUILDAH.save("localhost/multiserver/site:0123", Path("/cache/site.tar")) == [
        *BUILDAH.program,
        "push",
        "--quiet",
        "localhost/multiserver/site:0123",
        "docker-archive:/cache/site.tar:localhost/multiserver/site:0123",
    ]


def test_only_what_is_ours_alone_is_tidied() -> None:
    assert BUILDAH.tidy() == [*BUILDAH.program, "rm", "--all"]
    assert DOCKER.tidy() == PODMAN.tidy() == []
