"""Every reason of a condition has its page, and every page a reader needs at night has the same four parts."""

import re

import pytest

from multiserver.health.checks import CHECKS
from multiserver.health.reasons import Reason
from tests.unit.docs.pages import RUNBOOKS, headings

ALL_WELL = {
    Reason.ALL_SITES_SERVE,
    Reason.UP_TO_DATE,
    Reason.NOT_STALLED,
    Reason.ALL_LINKS_REPLICATE,
    Reason.SINGLE_SITE,
    Reason.BACKLOGS_HAVE_ROOM,
    Reason.FILES_EQUAL,
    Reason.BACKUPS_RECENT,
    Reason.CLOCKS_AGREE,
    Reason.NUMBERS_LEFT,
    Reason.ROWS_EQUAL,
    Reason.VOLUMES_HAVE_ROOM,
}
"""Reasons that ask for nothing."""
PAGES = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}


def text(reason: Reason) -> str:
    return (RUNBOOKS / f"{reason}.md").read_text()


def test_every_reason_has_a_page_and_every_page_a_reason() -> None:
    assert {str(reason) for reason in Reason} == PAGES


@pytest.mark.parametrize("reason", Reason)
def test_page_is_named_as_its_reason_and_says_where_it_shows(reason: Reason) -> None:
    assert headings(text(reason))[0] == reason
    conditions = re.findall(r"^Condition: (.+)$", text(reason), flags=re.MULTILINE)
    assert conditions, "a line `Condition: ...` is missing"
    assert set(re.findall(r"`(\w+)`", conditions[0])) <= {*CHECKS, "True", "False", "Unknown"}


@pytest.mark.parametrize("reason", Reason)
def test_page_has_the_parts_that_a_reader_expects(reason: Reason) -> None:
    parts = ["Meaning"] if reason in ALL_WELL else ["Meaning", "Impact", "Diagnosis", "Mitigation"]

    assert headings(text(reason))[1:] == parts


def test_list_of_runbooks_links_every_page() -> None:
    listed = set(re.findall(r"\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text()))

    assert listed == PAGES
