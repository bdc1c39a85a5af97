"""The health of the files, where Syncthing's own word `idle` would be wrong."""

from dataclasses import replace
from typing import Any

import pytest

from multiserver.files.health import ERRORS_MAX, Answers, FilesHealth, judge, unavailable
from tests.unit.files.sites import site_config

SITE = site_config()
FOLDER: dict[str, Any] = {"state": "idle", "error": "", "errors": 0, "needTotalItems": 0, "watchError": ""}
HELD: dict[str, Any] = {"completion": 100, "needItems": 0, "needBytes": 0, "needDeletes": 0, "remoteState": "valid"}
WELL = Answers(
    system={"connectionServiceStatus": {"tcp://0.0.0.0:22000": {"error": None}}},
    connections={"connections": {"HAMBURG": {"connected": True}}},
    devices={"HAMBURG": {"lastSeen": "2026-01-05T10:00:00Z"}},
    folders={"folder0": FOLDER},
    completion={"BERLIN": HELD, "HAMBURG": HELD},
)
NEVER_SEEN = {"HAMBURG": {"lastSeen": "1970-01-01T00:00:00Z"}}
CUT_OFF = {"connections": {"HAMBURG": {"connected": False}}}


def folder(**changed: Any) -> FilesHealth:
    """Judge with one folder changed."""
    return judge(SITE, replace(WELL, folders={"folder0": {**FOLDER, **changed}}))


def test_all_is_well() -> None:
    health = judge(SITE, WELL)
    assert (health.report.available, health.report.percent, health.report.errors) == (True, 100, ())
    assert (health.peers["hamburg"].reachable, health.peers["hamburg"].percent) == (True, 100)


def test_a_lost_marker_is_told_with_the_way_out() -> None:
    error = "folder marker missing (this indicates potential data loss, search docs/forum to get information)"
    (sentence,) = folder(error=error).report.errors
    assert sentence.startswith("folder folder0 stands still: folder marker missing: its content was lost; do not make")


def test_a_full_disk_is_told_although_the_state_is_idle() -> None:
    (sentence,) = folder(error="insufficient space in folder: 0 B < 1 %").report.errors
    assert "the volume is nearly full: enlarge files.storage.size" in sentence


def test_failing_files_are_named_and_counted() -> None:
    items = {"errors": [{"path": f"f{number}", "error": "permission denied"} for number in range(5)]}
    answers = replace(WELL, folders={"folder0": {**FOLDER, "errors": 5}}, failed_items={"folder0": items})
    errors = judge(SITE, answers).report.errors
    assert errors[0] == "folder folder0: f0: permission denied"
    assert errors[-1] == "folder folder0: 5 files fail in all"
    assert len(errors) == 4


def test_a_port_that_is_taken_is_told() -> None:
    listener = {"tcp://0.0.0.0:22000": {"error": "address already in use"}}
    (sentence,) = judge(SITE, replace(WELL, system={"connectionServiceStatus": listener})).report.errors
    assert sentence == "Syncthing cannot listen on tcp://0.0.0.0:22000: address already in use"


def test_a_folder_that_syncthing_has_not_yet_is_no_hundred_percent() -> None:
    report = judge(SITE, replace(WELL, folders={})).report
    assert report.percent is None
    assert report.errors == ("folder folder0 is not set up in Syncthing yet",)


@pytest.mark.parametrize(
    ("needed", "percent"),
    [
        ({"completion": 99.99, "needItems": 1}, 99),
        ({"completion": 100, "needDeletes": 1}, 99),
        ({"completion": 42.19, "needBytes": 7}, 42.1),
    ],
)
def test_a_hundred_percent_is_said_only_if_nothing_is_needed(needed: dict[str, Any], percent: float) -> None:
    answers = replace(WELL, completion={"BERLIN": HELD, "HAMBURG": {**HELD, **needed}})
    assert judge(SITE, answers).peers["hamburg"].percent == percent


def test_needed_items_of_a_folder_outweigh_the_sum() -> None:
    assert folder(needTotalItems=1).report.percent == 99


def test_a_peer_that_is_cut_off_keeps_what_is_known_of_it() -> None:
    peer = judge(SITE, replace(WELL, connections=CUT_OFF)).peers["hamburg"]
    assert (peer.reachable, peer.percent) == (False, 100)
    assert peer.last_seen is not None


def test_a_peer_that_never_came_is_not_said_to_hold_anything() -> None:
    peer = judge(SITE, replace(WELL, connections=CUT_OFF, devices=NEVER_SEEN)).peers["hamburg"]
    assert (peer.reachable, peer.percent, peer.last_seen) == (False, None, None)


def test_while_no_peer_ever_came_nobody_knows_whether_all_files_are_here() -> None:
    alone = replace(WELL, connections=CUT_OFF, devices=NEVER_SEEN)
    assert judge(SITE, alone).report.percent is None
    assert judge(site_config(names=("berlin",)), alone).report.percent == 100
    assert judge(SITE, replace(WELL, connections=CUT_OFF)).report.percent == 100


def test_a_peer_that_does_not_share_the_folders_yet_is_not_known() -> None:
    answers = replace(WELL, completion={"BERLIN": HELD, "HAMBURG": {**HELD, "remoteState": "notSharing"}})
    assert judge(SITE, answers).peers["hamburg"].percent is None


def test_without_an_answer_nothing_is_known() -> None:
    health = unavailable(SITE, "no answer")
    assert (health.report.available, health.report.percent, health.report.message) == (False, None, "no answer")
    assert health.peers["hamburg"].reachable is None


def test_many_errors_are_cut_to_a_readable_number() -> None:
    site = site_config(folders=ERRORS_MAX + 5)
    errors = judge(site, replace(WELL, folders={})).report.errors
    assert len(errors) == ERRORS_MAX
    assert errors[-1] == "and 6 more errors"
