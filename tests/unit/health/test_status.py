"""The status tells every site's viewpoint, and a quiet cluster causes no writes."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from multiserver.api.report import ArchiveReport, LinkState
from multiserver.api.status import Status
from multiserver.health.conditions import transitions
from multiserver.health.status import REFRESH, in_bytes, is_worth_writing, status
from multiserver.health.view import ActionFailure, Serving
from tests.unit.agent.reports import peer_report, site_report
from tests.unit.health.views import NOW, a_report, a_site, a_view, silent


def told(*changed, before: Status | None = None, **changes) -> Status:
    return status(a_view(*changed, **changes), before or Status())


def peer(of: Status, site: str, name: str):
    return next(p for s in of.sites if s.name == site for p in s.peers if p.name == name)


def test_all_well_in_one_sentence_and_in_the_columns():
    new = told()

    assert new.summary == "all 3 sites serve; data, files and clocks agree"
    assert (new.sites_ready, new.lag, new.files, new.backup) == ("3/3", "0", "OK", "OK")
    assert [site.backup for site in new.sites] == ["OK: backup and synchronisation are up to date"] * 3
    assert [site.raid for site in new.sites] == ["OK: no RAID present"] * 3


def test_each_site_tells_its_own_viewpoint_of_each_peer():
    cut = a_site("berlin", report=a_report("berlin", peer="hamburg", state=LinkState.CUT_OFF, since=NOW, message="cut"))

    new = told(cut)

    assert (peer(new, "berlin", "hamburg").state, peer(new, "berlin", "hamburg").message) == ("CutOff", "cut")
    assert peer(new, "hamburg", "berlin").state == "Connected"
    assert new.lag == "cut off"
    assert "but berlin does not reach hamburg" in new.summary


def test_of_a_silent_site_the_times_stay_and_the_judgements_become_unknown():
    new = told(silent("hamburg"))

    link = peer(new, "hamburg", "berlin")
    assert link.last_ping == NOW
    assert (link.state, link.replication_active, link.lag_bytes, link.files.reachable) == (
        "Unknown",
        "Unknown",
        None,
        "Unknown",
    )
    hamburg = new.sites[1]
    assert (hamburg.backup, hamburg.files, hamburg.raid, hamburg.disk) == ("Unknown",) * 4
    assert "since 2026-03-01 11:59:00 UTC" in hamburg.message


def test_a_site_never_heard_of_is_unknown():
    new = told(
        a_site("berlin", report=None, report_is_live=False, serving=Serving("Starting", "its pod is being made"))
    )

    assert (new.sites[0].state, new.sites[0].observed_at, new.sites[0].peers) == ("Starting", None, [])


def test_the_known_database_of_a_site_stays_told_whatever_its_agent_reports_of_another_one():
    before = told()

    assert a_report("berlin").database.system_id != before.sites[0].system_id
    assert told(a_site("berlin", system_id=None), before=before).sites[0].system_id == before.sites[0].system_id


def test_no_lag_is_told_before_every_site_tells_of_every_other():
    nothing = [a_site(name, report=None, report_is_live=False) for name in ("berlin", "hamburg", "leipzig")]
    only_hamburg = a_report("berlin").model_copy(update={"peers": a_report("berlin").peers[:1]})

    assert told(*nothing).lag == "Unknown"
    assert told(a_site("berlin", report=only_hamburg)).lag == "Unknown"
    alone = a_site("berlin", report=site_report(NOW, peers=()))
    assert status(replace(a_view(), sites={"berlin": alone}), Status()).lag == "0"


@given(st.floats(0, 40), st.floats(-20, 20), st.integers(0, 900_000), st.floats(0, 10))
def test_small_movements_of_figures_are_not_worth_writing(ping, offset, lag, age):
    before = told()
    moved = a_report(
        "berlin", peer="hamburg",
        ping_milliseconds=ping, clock_offset_milliseconds=offset, lag_bytes=lag, lag_seconds=age,
        observed_at=NOW + timedelta(minutes=5), last_ping=NOW + timedelta(minutes=5),
    )  # fmt: skip

    after = told(a_site("berlin", report=moved), before=before)

    assert not is_worth_writing(after, before)


def test_a_lag_that_grows_is_worth_writing_and_so_is_its_end():
    before = told()
    behind = told(a_site("berlin", report=a_report("berlin", peer="hamburg", lag_bytes=50 << 20)), before=before)
    again = told(before=behind)

    assert is_worth_writing(behind, before)
    assert behind.lag == "50 MiB"
    assert is_worth_writing(again, behind)
    assert again.lag == "0"


def test_how_long_a_peer_may_stay_away_is_told_in_steps():
    def left(hours: float, before: Status | None = None) -> Status:
        return told(
            a_site("berlin", report=a_report("berlin", peer="hamburg", autonomy_seconds=hours * 3600)), before=before
        )

    a_day = left(25)
    assert peer(a_day, "berlin", "hamburg").autonomy_left == "more than 24 h"
    assert not is_worth_writing(left(23, a_day), a_day), "a little less is told as before"
    assert peer(left(20, a_day), "berlin", "hamburg").autonomy_left == "more than 12 h"
    assert peer(left(0.5), "berlin", "hamburg").autonomy_left == "less than 1 h"


def test_rows_kept_aside_and_conflicts_are_told_in_steps():
    def counted(parked: int, conflicts: int, before: Status | None = None) -> Status:
        found = site_report(NOW).database.model_copy(update={"parked_rows": parked, "conflicts_last_day": conflicts})
        return told(a_site("berlin", report=a_report("berlin", database=found)), before=before)

    first = counted(1, 100)
    assert (first.sites[0].parked_rows, first.sites[0].conflicts_last_day) == (1, 100)
    assert not is_worth_writing(counted(1, 140, first), first)
    assert counted(0, 300, first).sites[0].parked_rows == 0
    assert counted(0, 300, first).sites[0].conflicts_last_day == 300


def test_the_volume_that_is_known_stays_told_whatever_another_one_reports():
    before = told()

    new = told(a_site("berlin", system_id=None), before=before)

    assert new.sites[0].system_id == before.sites[0].system_id


def test_the_schema_site_stays_told():
    known = told(schema_site="berlin")

    assert told(before=known).schema_site == "berlin"


def test_times_alone_are_written_only_when_they_became_old():
    before = told()
    later = [a_site(n, report=a_report(n).model_copy(update={"observed_at": NOW + REFRESH})) for n in ("berlin",)]

    assert is_worth_writing(told(*later, before=before), before)


def test_a_transition_time_changes_only_when_the_status_flips():
    first = told(silent("hamburg"))
    later = replace(a_view(silent("hamburg")), now=NOW + timedelta(minutes=1))
    second = status(later, first)
    healed = status(replace(a_view(), now=NOW + timedelta(minutes=2)), second)

    by_type = {c.type: c for c in second.conditions}
    assert by_type["ReplicationHealthy"].last_transition_time == NOW
    assert {c.type for c in transitions(second.conditions, healed.conditions)} >= {"Ready", "ReplicationHealthy"}
    assert all(c.observed_generation == 1 for c in healed.conditions)


def test_what_is_told_can_be_read_back_as_it_was():
    new = told(silent("hamburg"))

    assert Status.model_validate(new.wire()) == new


def test_bytes_for_readers():
    assert [in_bytes(n) for n in (0, 512, 2048, 5 << 20, 3 << 30, 2 << 40)] == [
        "0",
        "512 B",
        "2 KiB",
        "5 MiB",
        "3 GiB",
        "2.0 TiB",
    ]


def test_thirty_two_sites_that_are_all_cut_off_from_each_other_still_make_a_status():
    names = [f"practice-{number}" for number in range(32)]
    why = 'connection to server at "lab-practice-server.clinic.svc" (10.96.0.1), port 5432 failed: timeout expired'
    sites = {
        name: a_site(
            "berlin",
            report=site_report(
                NOW,
                site=name,
                peers=tuple(
                    peer_report(NOW, other, state=LinkState.CUT_OFF, since=NOW, message=why)
                    for other in names
                    if other != name
                ),
            ),
        )
        for name in names
    }
    view = replace(a_view(), sites={name: replace(site, name=name) for name, site in sites.items()})

    links = next(c for c in status(view, Status()).conditions if c.type == "ReplicationHealthy")

    assert "practice-0 does not reach practice-1" in links.message
    assert links.message.endswith("and 982 more")


def test_a_message_longer_than_a_condition_may_be_is_cut():
    failure = ActionFailure("berlin", "apply StatefulSet lab-berlin", "x" * 40_000, refused=True)

    stalled = next(c for c in told(failures=(failure,)).conditions if c.type == "Stalled")

    assert stalled.message.startswith("apply StatefulSet lab-berlin: xxx")


def test_a_site_whose_archiving_is_not_known_is_never_told_as_backed_up():
    unknown = a_report("berlin", archive=ArchiveReport(message="the database: not known since 11:00"))

    new = told(a_site("berlin", report=unknown))

    assert new.sites[0].backup == "Unknown: archiving: the database: not known since 11:00"
    assert new.backup == "Unknown"
