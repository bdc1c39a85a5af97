from datetime import datetime, timedelta

import pytest

from multiserver.agent.link import Link
from multiserver.agent.report import BACKUPS_VALID, DATABASE_VALID, FILES_VALID, TABLES_TOLD_MAX, assemble
from multiserver.agent.seen import Machine, Seen, Sightings
from multiserver.api.report import (
    ArchiveReport,
    BackupReport,
    FilesReport,
    LinkState,
    SiteReport,
    Verification,
    VolumeReport,
)
from multiserver.files.health import FilesHealth, PeerFiles
from multiserver.replication.observe import ParkedRow, Slot, Subscription, UnreplicatedTable
from tests.unit.agent.sightings import CONFIG, NOON, all_seen, backups, database, facts, heartbeat

SECOND = timedelta(seconds=1)


def report(seen: Sightings, link: Link | None = None, now: datetime = NOON) -> SiteReport:
    links = {"hamburg": link or Link().connected(NOON, "8").answered(NOON, 12.5, -3.0)}
    return assemble(CONFIG, seen, links, now)


def test_what_was_just_seen_is_told() -> None:
    told = report(all_seen(NOON))
    assert (told.site, told.server_number, told.observed_at) == ("berlin", 1, NOON)
    assert (told.database.available, told.database.system_id, told.database.parked_rows) == (True, "7", 0)
    assert told.files.percent == 100
    assert told.data_backup.last_label == "20260101-100000F"
    assert told.raid == "OK: no RAID present"
    (peer,) = told.peers
    assert (peer.state, peer.ping_milliseconds, peer.clock_offset_milliseconds) == (LinkState.CONNECTED, 12.5, -3.0)
    assert (peer.replication_active, peer.lag_bytes, peer.retained_bytes) == (True, 128, 4096)
    assert (peer.files_reachable, peer.files_percent) == (True, 99.0)


def test_before_the_first_look_nothing_is_claimed() -> None:
    told = assemble(CONFIG, Sightings(), {}, NOON)
    assert (told.database.available, told.database.message) == (False, "not looked at yet")
    assert (told.files.available, told.files.message) == (False, "not looked at yet")
    assert told.raid == "Unknown: not looked at yet"
    assert told.data_backup == told.files_backup == BackupReport(message="the repository: not looked at yet")
    (peer,) = told.peers
    assert peer.state is LinkState.UNKNOWN
    figures = peer.model_dump(exclude={"name", "observed_at", "state", "message"})
    assert set(figures.values()) == {None}


def test_what_was_seen_too_long_ago_is_not_known_any_more() -> None:
    told = report(all_seen(NOON), now=NOON + timedelta(hours=1))
    since = "not known since 2026-01-01 12:00:00 UTC"
    assert (told.database.available, told.database.message, told.database.system_id) == (False, since, None)
    assert (told.files.available, told.files.message, told.files.percent) == (False, since, None)
    assert told.data_backup == BackupReport(message=f"the repository: {since}")
    assert told.archive == ArchiveReport(message=f"the database: {since}")
    assert (told.raid, told.volumes) == (f"Unknown: {since}", ())
    (peer,) = told.peers
    assert (peer.state, peer.replication_active, peer.files_reachable) == (LinkState.UNKNOWN, None, None)
    assert peer.last_ping == NOON


@pytest.mark.parametrize("valid", [DATABASE_VALID, FILES_VALID, BACKUPS_VALID])
def test_each_part_grows_old_by_itself(valid: timedelta) -> None:
    told = report(all_seen(NOON), now=NOON + valid + SECOND)
    assert told.database.available is False
    assert told.files.available is (valid < FILES_VALID)
    assert (told.data_backup.last_success is not None) is (valid < BACKUPS_VALID)


def test_a_part_that_does_not_answer_says_why() -> None:
    seen = all_seen(NOON)
    seen.database = Seen(NOON, message="connection refused")
    told = report(seen)
    assert (told.database.available, told.database.message) == (False, "connection refused")
    assert told.archive.message == "the database: connection refused"
    (peer,) = told.peers
    assert (peer.replication_active, peer.lag_bytes, peer.lag_seconds) == (None, None, None)
    assert peer.state is LinkState.CONNECTED


def test_a_cut_off_peer_has_no_present_ping_and_keeps_its_moments_and_its_backlog() -> None:
    cut = Link().connected(NOON, "8").answered(NOON, 12.5, -3.0).failed(NOON + SECOND, "no answer within 3 s")
    (peer,) = report(all_seen(NOON), cut, NOON + SECOND).peers
    assert (peer.state, peer.since, peer.message) == (LinkState.CUT_OFF, NOON + SECOND, "no answer within 3 s")
    assert (peer.ping_milliseconds, peer.clock_offset_milliseconds) == (None, None)
    assert (peer.last_connection, peer.last_ping, peer.lag_bytes) == (NOON, NOON, 128)


def test_of_a_cut_off_peer_nothing_is_said_to_go_on_that_only_has_not_been_missed_yet() -> None:
    cut = Link().connected(NOON, "8").answered(NOON, 12.5, -3.0).failed(NOON + SECOND, "no answer within 3 s")
    (peer,) = report(all_seen(NOON), cut, NOON + SECOND).peers
    assert (peer.replication_active, peer.files_reachable, peer.files_percent) == (None, None, None)


def test_a_peers_figures_are_as_old_as_the_oldest_of_them() -> None:
    seen = all_seen(NOON)
    seen.files = Seen(NOON - 5 * SECOND, seen.files.value if seen.files else None)
    assert report(seen).peers[0].observed_at == NOON - 5 * SECOND


@pytest.mark.parametrize(
    "changes",
    [
        {"slots": ()},
        {"subscriptions": ()},
        {"slots": (facts().slots[0].model_copy(update={"active": False}),)},
        {"subscriptions": (facts().subscriptions[0].model_copy(update={"worker_active": False}),)},
    ],
    ids=["no slot", "no subscription", "idle slot", "idle subscription"],
)
def test_replication_is_active_only_if_changes_flow_both_ways(
    changes: dict[str, tuple[Slot | Subscription, ...]],
) -> None:
    assert report(all_seen(NOON, **changes)).peers[0].replication_active is False


@pytest.mark.parametrize("offset_milliseconds", [0.0, 90_000.0, -90_000.0])
def test_the_lag_in_seconds_does_not_depend_on_the_peers_clock(offset_milliseconds: float) -> None:
    offset = timedelta(milliseconds=offset_milliseconds)
    link = Link().connected(NOON, "8").answered(NOON, 12.5, offset_milliseconds)
    seen = all_seen(NOON, heartbeats=(heartbeat(sent_at=NOON - 4 * SECOND + offset),))
    assert report(seen, link).peers[0].lag_seconds == 4


def test_without_a_heartbeat_the_lag_in_seconds_is_not_known() -> None:
    assert report(all_seen(NOON, heartbeats=())).peers[0].lag_seconds is None


def test_a_link_that_cannot_apply_a_change_is_told_with_the_peers_name() -> None:
    seen = all_seen(NOON)
    seen.database = Seen(NOON, database(stuck_links={"multiserver_2": NOON - 60 * SECOND}))
    assert report(seen).database.replication_errors == (
        "a change from hamburg cannot be applied since 2026-01-01 11:59:00 UTC and all later ones wait for it: "
        "the log of the container postgres says why",
    )


def test_how_long_a_peer_may_stay_away_follows_from_the_room_left_and_the_growth_of_the_log() -> None:
    slot = facts().slots[0].model_copy(update={"retained_bytes": 100 << 20, "safe_wal_size": 300 << 20})
    seen = all_seen(NOON)
    seen.database = Seen(NOON, database(log_bytes_per_second=1024.0, slots=(slot,)))
    (peer,) = report(seen).peers

    assert peer.backlog_percent == 25
    assert peer.autonomy_seconds == 300 * 1024


def test_a_backlog_that_was_given_up_leaves_no_time() -> None:
    lost = facts().slots[0].model_copy(update={"wal_status": "lost", "active": False})
    (peer,) = report(all_seen(NOON, slots=(lost,))).peers
    assert (peer.backlog_percent, peer.autonomy_seconds) == (100, 0)


def test_how_long_a_peer_may_stay_away_is_not_known_before_the_log_was_measured() -> None:
    slot = facts().slots[0].model_copy(update={"safe_wal_size": 300 << 20})
    (peer,) = report(all_seen(NOON, slots=(slot,))).peers
    assert peer.autonomy_seconds is None


def test_parked_rows_and_tables_that_stay_here_are_told() -> None:
    reason = "table public.log has no primary key: add one (ALTER TABLE public.log ADD PRIMARY KEY (id)), or exclude it"
    told = report(
        all_seen(
            NOON,
            parked_rows=(
                ParkedRow(table="public.a", rows=2, reason="unique"),
                ParkedRow(table="b", rows=1, reason="x"),
            ),
            unreplicated_tables=(UnreplicatedTable(name="public.log", reason=reason),),
        )
    )
    assert told.database.parked_rows == 3
    assert told.database.unreplicated_tables == (reason,)


def test_of_many_tables_that_stay_here_the_first_are_told_and_all_counted() -> None:
    tables = tuple(
        UnreplicatedTable(name=f"public.log{n:04}", reason=f"table log{n:04} has no primary key") for n in range(5000)
    )
    told = report(all_seen(NOON, unreplicated_tables=tables)).database
    assert (len(told.unreplicated_tables), told.unreplicated_count) == (TABLES_TOLD_MAX, 5000)
    assert told.unreplicated_tables[0] == "table log0000 has no primary key"


def test_without_the_engine_parked_rows_are_not_known() -> None:
    assert report(all_seen(NOON, engine_version=None)).database.parked_rows is None


def test_the_report_survives_its_way_through_json() -> None:
    told = report(all_seen(NOON))
    assert SiteReport.model_validate(told.wire()) == told


def test_volumes_are_told() -> None:
    volume = VolumeReport(name="data", capacity_bytes=1000, free_bytes=600)
    seen = all_seen(NOON)
    seen.machine = Seen(NOON, Machine("OK: no RAID present", (volume,)))
    assert report(seen).volumes == (volume,)


def test_a_syncthing_that_does_not_answer_leaves_the_peers_files_unknown() -> None:
    seen = all_seen(NOON)
    seen.files = Seen(NOON, FilesHealth(FilesReport(available=False, message="refused"), {"hamburg": PeerFiles()}))
    told = report(seen, now=NOON)
    assert (told.files.message, told.peers[0].files_reachable) == ("refused", None)


def test_both_kinds_of_backup_are_told_apart() -> None:
    seen = all_seen(NOON)
    seen.backups = Seen(NOON, backups(NOON, files=BackupReport(count=0)))
    told = report(seen)
    assert (told.data_backup.count, told.files_backup.count) == (3, 0)


def test_what_was_seen_by_a_clock_that_was_set_back_since_is_not_told() -> None:
    told = report(all_seen(NOON), now=NOON - timedelta(hours=1))
    assert not told.database.available
    assert told.raid.startswith("Unknown")


@pytest.mark.parametrize("is_equal", [True, False])
def test_a_comparison_from_the_future_proves_no_equality_and_hides_no_difference(is_equal: bool) -> None:
    seen = all_seen(NOON)
    ahead = NOON + timedelta(days=365)
    seen.verifications["hamburg"] = Verification(verified_at=ahead, attempted_at=ahead, is_equal=is_equal)
    verified = report(seen).peers[0].verified
    assert (verified.verified_at, verified.is_equal) == (None, None if is_equal else False)
    assert verified.message == (
        "the last comparison is dated 2027-01-01 12:00 UTC, which is still to come: the clock was wrong then, or is "
        "now; the next one is due"
    )


def test_a_report_of_a_newer_agent_is_read_without_what_is_not_known_of() -> None:
    told = report(all_seen(NOON))
    document = told.wire() | {"temperature": 40}
    document["files"] = {**told.files.wire(), "conflicts": 3}
    assert SiteReport.readable(document) == told
