"""The tool and the Dockerfile name the same things."""

import re

from hack.images.archives import TARGETS
from hack.images.recipe import CHECKOUT, PROGRAMS, Recipe
from tests.rootfs import USER_ID

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()


def test_every_argument_of_the_tool_is_declared() -> None:
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))

    assert declared == set(Recipe().arguments("any"))


def test_the_defaults_are_the_tool_s() -> None:
    defaults = dict(re.findall(r"^ARG (\w+)=(.*)", DOCKERFILE, re.MULTILINE))

    assert defaults == Recipe().arguments(f"docker.io/library/debian:{Recipe().suite}-slim")


def test_every_target_runs_as_the_user_of_the_contract() -> None:
    for target in TARGETS:
        stage = DOCKERFILE.split(f" AS {target}\n")[1].split("\nFROM ")[0]
        assert f"USER {USER_ID}:{USER_ID}" in stage


def test_every_copied_file_counts_for_the_key() -> None:
    copied = set(re.findall(r"hack/images/\S+", DOCKERFILE))

    assert copied <= set(PROGRAMS)
