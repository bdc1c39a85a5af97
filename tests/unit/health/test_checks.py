"""Each fault gives its condition the documented reason and a sentence that names what, where and the way out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from multiserver.api.report import (
    COUNTED_MAX,
    ArchiveReport,
    DatabaseReport,
    FilesReport,
    LinkState,
    TableDifference,
    Verification,
    VolumeReport,
)
from multiserver.backup.sentences import AGE_MAX
from multiserver.health.checks import CHECKS, judge
from multiserver.health.checks.verdict import Verdict
from multiserver.health.reasons import Reason
from multiserver.health.view import ActionFailure, SequenceUsage, Serving
from tests.unit.agent.reports import site_report
from tests.unit.health.views import NOW, a_report, a_site, a_view, silent

GOOD = {
    "Ready": "True",
    "Reconciling": "False",
    "Stalled": "False",
    "ReplicationHealthy": "True",
    "BacklogsHaveRoom": "True",
    "FilesInSync": "True",
    "BackupsCurrent": "True",
    "ClocksInSync": "True",
    "NumbersAvailable": "True",
    "DataConsistent": "True",
    "VolumesHaveRoom": "True",
}


def test_all_well_is_told_as_such():
    verdicts = judge(a_view())

    assert {name: verdict.status for name, verdict in verdicts.items()} == GOOD


def test_what_a_silent_site_would_know_is_unknown_never_ok():
    verdicts = judge(a_view(silent("hamburg")))

    for name in (
        "Ready",
        "ReplicationHealthy",
        "FilesInSync",
        "BackupsCurrent",
        "ClocksInSync",
        "NumbersAvailable",
        "DataConsistent",
    ):
        assert verdicts[name].status == "Unknown", name
        assert "hamburg" in verdicts[name].message
        assert "since 2026-03-01 11:59:00 UTC" in verdicts[name].message


def test_a_peer_that_a_site_does_not_tell_of_is_unknown_never_well():
    report = a_report("berlin")
    view = a_view(a_site("berlin", report=report.model_copy(update={"peers": report.peers[:1]})))

    verdicts = judge(view)

    for name in ("ReplicationHealthy", "FilesInSync", "ClocksInSync", "DataConsistent"):
        assert verdicts[name].status == "Unknown", name
    assert verdicts["ReplicationHealthy"].message == "berlin has not heard of leipzig yet"


def test_a_site_that_is_closed_is_told_although_another_does_not_answer():
    closed = a_site("berlin", open=False, why_closed="once it has everything")

    verdict = judge(a_view(closed, silent("hamburg")))["Ready"]

    assert (verdict.status, verdict.reason) == ("False", Reason.SITE_CATCHING_UP)


def test_a_site_that_comparing_cannot_repair_is_not_said_to_fetch_what_it_lacks():
    verdicts = judge(a_view(a_site("berlin", open=False, incomplete=("hamburg",), blocked="replace its data volume")))

    ready, replication = verdicts["Ready"], verdicts["ReplicationHealthy"]
    assert (ready.reason, ready.message) == (Reason.SITE_HELD_BACK, "berlin: replace its data volume")
    assert replication.status == "False"
    assert replication.message == "berlin may lack what hamburg has: replace its data volume"


def report_with(**changes):
    return a_site("berlin", report=a_report("berlin", **changes))


BACKUP = site_report(NOW).data_backup
COLLAPSED = TableDifference(table="public.patient", rows=3, damaged=2, examples=("(7)", "(8)"))
LACKING = TableDifference(table="public.patient", rows=9, damaged=0, examples=("(7)",), is_exact=False)


def differing(*tables):
    return report_with(
        peer="hamburg", verification=Verification(verified_at=NOW, is_equal=False, tables=4, differences=tables)
    )


USAGE = SequenceUsage("public.patient_number", current=290000, minimum=200000, maximum=299999, percent=90.0)
DATABASE = {"available": True, "system_id": "7", "version": "18.6"}

FAULTS = {
    Reason.SITE_HELD_BACK: ("Ready", "False", a_site("berlin", blocked="its volume is new"), "its volume is new"),
    Reason.SITE_NOT_READY: (
        "Ready", "False", a_site("berlin", serving=Serving("NotReady", "its image cannot be pulled")), "be pulled",
    ),
    Reason.SITE_STARTING: ("Ready", "False", a_site("berlin", serving=Serving("Starting", "being made")), "being made"),
    Reason.LINKS_MISSING: ("Ready", "False", a_site("berlin", missing_links=("hamburg",)), "berlin: link to hamburg"),
    Reason.LINK_CUT_OFF: (
        "ReplicationHealthy", "False",
        report_with(peer="hamburg", state=LinkState.CUT_OFF, since=NOW, message="connection timed out"),
        "berlin does not reach hamburg since 2026-03-01 12:00:00 UTC: connection timed out",
    ),
    Reason.LINK_STUCK: (
        "ReplicationHealthy", "False",
        report_with(database=DatabaseReport(**DATABASE, replication_errors=("cannot apply a change of hamburg",))),
        "cannot apply a change of hamburg",
    ),
    Reason.LINK_INACTIVE: (
        "ReplicationHealthy", "False", report_with(peer="hamburg", replication_active=False), "berlin and hamburg",
    ),
    Reason.SITE_CATCHING_UP: (
        "Ready", "False",
        a_site("berlin", open=False, closed_since="since noon, when it left", why_closed="once it has everything"),
        "berlin is closed since noon, when it left; it opens once it has everything",
    ),
    Reason.LINK_CATCHING_UP: (
        "ReplicationHealthy", "False", a_site("berlin", incomplete=("hamburg",)), "berlin compares itself with hamburg",
    ),
    Reason.BACKLOG_NEARLY_FULL: (
        "BacklogsHaveRoom", "False",
        report_with(peer="hamburg", backlog_percent=81.0, autonomy_seconds=30 * 3600.0),
        "berlin must soon give up what it keeps for hamburg: about 80 % of the room is used, and at the last hour's "
        "rate it lasts more than 24 h",
    ),
    Reason.BACKLOG_GROWS: (
        "BacklogsHaveRoom", "False",
        report_with(peer="hamburg", backlog_percent=20.0, autonomy_seconds=7 * 3600.0),
        "less than a day: about 20 % of the room is used, and at the last hour's rate it lasts more than 6 h",
    ),
    Reason.FILES_CUT_OFF: (
        "FilesInSync", "False", report_with(peer="hamburg", files_reachable=False), "does not reach hamburg",
    ),
    Reason.FILES_FAULTY: (
        "FilesInSync", "False",
        report_with(files=FilesReport(available=True, errors=("documents: folder marker missing",))),
        "folder marker missing",
    ),
    Reason.FILES_TRANSFERRING: (
        "FilesInSync", "False", report_with(files=FilesReport(available=True, percent=40.0)), "berlin holds 40 %",
    ),
    Reason.BACKUP_OVERDUE: (
        "BackupsCurrent", "False",
        report_with(data_backup=BACKUP.model_copy(update={"last_success": NOW - AGE_MAX - timedelta(hours=12)})),
        "no backup of the data for 48 h",
    ),
    Reason.NO_BACKUP_YET: (
        "BackupsCurrent", "Unknown", report_with(data_backup=BACKUP.model_copy(update={"last_success": None})), "yet",
    ),
    Reason.ARCHIVING_FAILS: (
        "BackupsCurrent", "False",
        report_with(archive=ArchiveReport(failing_since=NOW - timedelta(hours=1), message="repository is full")),
        "repository is full",
    ),
    Reason.CLOCK_OFF: (
        "ClocksInSync", "False", report_with(peer="hamburg", clock_offset_milliseconds=-61000.0), "-61000 ms",
    ),
    Reason.RANGE_NEARLY_USED: ("NumbersAvailable", "False", a_site("berlin", sequences=(USAGE,)), "spec.numberRanges"),
    Reason.TABLES_NOT_REPLICATED: (
        "DataConsistent", "False",
        report_with(database=DatabaseReport(**DATABASE, unreplicated_tables=("public.log has no primary key",))),
        "public.log has no primary key",
    ),
    Reason.ROWS_PARKED: (
        "DataConsistent", "False", report_with(database=DatabaseReport(**DATABASE, parked_rows=3)), "keeps 3 rows",
    ),
    Reason.ROWS_DAMAGED: (
        "DataConsistent", "False", differing(LACKING, COLLAPSED),
        "2 rows of public.patient differ between berlin and hamburg although no change explains it since 2026-03-01 "
        "12:00:00 UTC, such as (7), (8): write them again at the site where they are right",
    ),
    Reason.ROWS_DIFFER: (
        "DataConsistent", "False", differing(LACKING),
        "at least 9 rows of public.patient differ between berlin and hamburg since",
    ),
    Reason.NOT_VERIFIED: (
        "DataConsistent", "Unknown",
        report_with(
            peer="hamburg",
            verification=Verification(verified_at=NOW - timedelta(hours=49), is_equal=True, message="no route"),
        ),
        "berlin has not compared its rows with those of hamburg since 2026-02-27 11:00:00 UTC: no route",
    ),
    Reason.VOLUME_NEARLY_FULL: (
        "VolumesHaveRoom", "False",
        report_with(volumes=(VolumeReport(name="data", capacity_bytes=1000, free_bytes=40),)),
        "volume data of berlin is 96 % full",
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", FAULTS, ids=str)
def test_a_fault_gives_its_reason_and_a_sentence(reason):
    condition, status, site, words = FAULTS[reason]

    verdict = judge(a_view(site))[condition]

    assert (verdict.status, verdict.reason) == (status, reason)
    assert words in verdict.message


@pytest.mark.parametrize("reason", FAULTS, ids=str)
def test_a_fault_at_one_site_changes_no_condition_that_has_nothing_to_do_with_it(reason):
    condition, _, site, _ = FAULTS[reason]

    changed = {name for name, verdict in judge(a_view(site)).items() if verdict.status != GOOD[name]}

    assert changed == {condition}


def test_where_no_more_rows_were_counted_there_are_at_least_so_many():
    database = DatabaseReport(**DATABASE, parked_rows=COUNTED_MAX, refused_rows=7)

    assert judge(a_view(report_with(database=database)))["DataConsistent"].message == (
        "berlin keeps at least 10000 rows aside (multiserver.parked), "
        "of which it refuses at least 7 by a rule of its own"
    )


def test_of_many_tables_that_are_not_replicated_the_number_is_told():
    tables = ("public.log: it has no primary key",)
    database = DatabaseReport(**DATABASE, unreplicated_tables=tables, unreplicated_count=35)

    assert judge(a_view(report_with(database=database)))["DataConsistent"].message == (
        "35 tables in all; public.log: it has no primary key"
    )


@pytest.mark.parametrize(("percent", "status"), [(79.99, "True"), (80.0, "False")])
def test_a_range_alarms_as_soon_as_four_fifths_of_it_are_used(percent, status):
    nearly = replace(USAGE, percent=percent)

    assert judge(a_view(a_site("berlin", sequences=(nearly,))))["NumbersAvailable"].status == status


def test_rows_that_were_never_compared_are_not_called_equal():
    verdict = judge(a_view(report_with(peer="leipzig", verification=None)))["DataConsistent"]

    assert (verdict.status, verdict.reason) == ("Unknown", Reason.NOT_VERIFIED)
    assert verdict.message == "berlin has not compared its rows with those of leipzig yet"


def test_a_comparison_from_the_future_does_not_prove_equality():
    ahead = Verification(verified_at=NOW + timedelta(days=30), is_equal=True, tables=4)

    verdict = judge(a_view(report_with(peer="leipzig", verification=ahead)))["DataConsistent"]

    assert (verdict.status, verdict.reason) == ("Unknown", Reason.NOT_VERIFIED)
    assert verdict.message == (
        "berlin has a comparison of its rows with those of leipzig that is dated 2026-03-31 12:00 UTC, which is still "
        "to come: the clock was wrong then, or is now; compare its clock with the operator's"
    )


def test_a_backup_from_the_future_does_not_prove_that_backups_are_recent():
    ahead = report_with(files_backup=BACKUP.model_copy(update={"last_success": NOW + timedelta(days=30)}))

    verdict = judge(a_view(ahead))["BackupsCurrent"]

    assert (verdict.status, verdict.reason) == ("Unknown", Reason.NO_BACKUP_YET)
    assert "dated 2026-03-31 12:00 UTC, which is still to come" in verdict.message


def test_a_database_that_is_damaged_by_its_latest_backup_is_a_fault_and_not_unknown():
    broken = report_with(data_backup=BACKUP.model_copy(update={"last_success": None, "damage": "1F is broken"}))

    verdict = judge(a_view(broken))["BackupsCurrent"]

    assert (verdict.status, verdict.reason) == ("False", Reason.BACKUP_OVERDUE)
    assert "1F is broken" in verdict.message


def test_equality_is_told_with_the_time_of_the_oldest_comparison():
    old = Verification(verified_at=NOW - timedelta(hours=30), is_equal=True, tables=4)

    verdict = judge(a_view(report_with(peer="leipzig", verification=old)))["DataConsistent"]

    assert (verdict.status, verdict.reason) == ("True", Reason.ROWS_EQUAL)
    assert (
        verdict.message == "every site holds the rows of every other, compared since 2026-02-28 06:00:00 UTC or later"
    )


def test_files_of_a_peer_that_is_cut_off_are_unknown_until_syncthing_has_noticed():
    cut = report_with(
        peer="hamburg",
        state=LinkState.CUT_OFF,
        since=NOW,
        message="timed out",
        files_reachable=None,
        replication_active=None,
    )

    verdict = judge(a_view(cut))["FilesInSync"]

    assert (verdict.status, verdict.reason) == ("Unknown", Reason.REPORT_MISSING)
    assert "berlin does not know whether its Syncthing reaches hamburg" in verdict.message


@pytest.mark.parametrize(("refused", "reason"), [(True, Reason.ACTION_REFUSED), (False, Reason.ACTION_FAILED)])
def test_a_failed_action_is_named_with_its_cause(refused, reason):
    failure = ActionFailure("berlin", "apply Service lab", "exceeded quota", refused)

    verdict = judge(a_view(failures=(failure,)))["Stalled"]

    assert (verdict.status, verdict.reason) == ("True", reason)
    assert "apply Service lab: exceeded quota" in verdict.message


def test_a_certain_fault_outweighs_what_is_unknown():
    cut = report_with(peer="leipzig", state=LinkState.CUT_OFF, since=NOW, message="timed out")

    assert judge(a_view(cut, silent("hamburg")))["ReplicationHealthy"].reason == Reason.LINK_CUT_OFF


def test_a_backlog_that_ends_within_six_hours_alarms_however_little_of_its_room_is_used():
    short = report_with(peer="hamburg", backlog_percent=10.0, autonomy_seconds=5 * 3600.0)

    assert judge(a_view(short))["BacklogsHaveRoom"].reason == Reason.BACKLOG_NEARLY_FULL


def test_a_peer_that_is_not_behind_alarms_nobody_however_fast_the_log_grows():
    busy = report_with(peer="hamburg", backlog_percent=1.0, autonomy_seconds=3600.0)

    assert judge(a_view(busy))["BacklogsHaveRoom"].status == "True"


def test_a_site_that_leaves_is_no_peer_to_judge():
    view = a_view(report_with(peer="leipzig", state=LinkState.CUT_OFF, since=NOW, message="it stops"))
    left = {name: site for name, site in view.sites.items() if name != "leipzig"}

    assert judge(replace(view, sites=left))["ReplicationHealthy"].status == "True"


def test_the_last_check_of_each_condition_always_speaks():
    assert all(isinstance(checks[-1](a_view()), Verdict) for checks in CHECKS.values())


def test_one_site_alone_has_nothing_to_replicate():
    view = a_view()
    alone = type(view)(
        now=NOW, cluster=view.cluster, sites={"berlin": a_site("berlin", report=site_report(NOW, peers=()))}
    )

    assert judge(alone)["ReplicationHealthy"].reason == Reason.SINGLE_SITE


def test_how_full_a_volume_is_that_does_not_answer_is_unknown():
    volumes = tuple(VolumeReport(name=name, capacity_bytes=1000, free_bytes=600) for name in ("data", "files"))

    verdict = judge(a_view(report_with(volumes=volumes)))["VolumesHaveRoom"]

    assert (verdict.status, verdict.reason) == ("Unknown", Reason.REPORT_MISSING)
    assert "how full volume repository of berlin is, is not known" in verdict.message


def test_what_is_kept_for_peers_is_unknown_while_the_database_does_not_answer():
    away = DatabaseReport(available=False, message="connection refused")

    verdict = judge(a_view(report_with(database=away)))["BacklogsHaveRoom"]

    assert (verdict.status, verdict.reason) == ("Unknown", Reason.REPORT_MISSING)
    assert "its database does not answer: connection refused" in verdict.message
