"""Every link from page to page leads somewhere, and every command of make is one."""

import re
from pathlib import Path

import pytest

from tests.unit.docs.pages import CHECKOUT, anchor, headings, name, pages, without_code

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_relative_links_resolve(page: Path) -> None:
    for target in LINK.findall(without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, part = target.partition("#")
        wanted = (page.parent / path).resolve() if path else page
        assert wanted.exists(), f"{name(page)} links to {target}, which is not there"
        if part:
            assert part in {anchor(heading) for heading in headings(wanted.read_text())}, f"{target}: no such heading"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_make_commands_are_targets(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z0-9-]+)`|^make ([a-z0-9-]+)", page.read_text(), flags=re.MULTILINE))

    assert {one or other for one, other in named} <= targets


@pytest.mark.parametrize("page", pages(), ids=name)
def test_page_begins_with_its_title(page: Path) -> None:
    assert page.read_text().startswith("# ")
