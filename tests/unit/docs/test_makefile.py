"""No test is forgotten: whatever is below tests/ is run by `make test`."""

import re
import subprocess

from tests.unit.docs.pages import CHECKOUT

MAKEFILE = (CHECKOUT / "Makefile").read_text()


def recipe(target: str) -> str:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    assert found, f"no target {target}"
    return found[1]


def suites_of_make_test() -> set[str]:
    line = re.search(r"^test: (.*?) ##", MAKEFILE, flags=re.MULTILINE)
    assert line
    targets = [name for name in line[1].split() if name.startswith("test-")]
    return {suite for target in targets for suite in re.findall(r"tests/(\w+)", recipe(target))}


def test_every_folder_with_tests_is_run() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "tests/*/test_*.py"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout

    assert {line.split("/")[1] for line in listed.splitlines()} <= suites_of_make_test()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert (CHECKOUT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert "make test " in (CHECKOUT / "README.md").read_text()
