"""A resource that cannot be read says so, and of what was known nothing is shown as if it still were."""

from datetime import timedelta

from multiserver.api.status import Status
from multiserver.health.checks import CHECKS
from multiserver.health.reasons import Reason
from multiserver.health.status import status
from multiserver.health.unreadable import unreadable
from tests.unit.health.views import NOW, a_view

WELL = status(a_view(), Status(schema_site="berlin"))
WHY = "this operator cannot read the resource: spec.deletionPolicy: Input should be 'Retain' or 'Delete'"
LATER = NOW + timedelta(hours=1)


def test_no_condition_says_any_more_what_is_not_known():
    conditions = {condition.type: condition for condition in unreadable(WELL, 7, WHY, LATER).conditions}

    assert list(conditions) == list(CHECKS)
    assert {condition.reason for condition in conditions.values()} == {Reason.RESOURCE_UNREADABLE}
    assert {name: condition.status for name, condition in conditions.items() if condition.status != "Unknown"} == {
        "Stalled": "True"
    }
    assert conditions["Stalled"].message == conditions["Ready"].message == WHY
    assert {condition.observed_generation for condition in conditions.values()} == {7}
    assert conditions["Ready"].last_transition_time == LATER


def test_the_columns_and_the_summary_say_so_too():
    told = unreadable(WELL, 7, WHY, LATER)

    assert told.summary == WHY
    assert (told.sites_ready, told.lag, told.files, told.backup) == ("Unknown",) * 4
    assert told.observed_generation == 7


def test_what_a_site_is_stays_and_how_it_is_becomes_unknown():
    told = unreadable(WELL, 7, WHY, LATER)

    assert told.schema_site == "berlin"
    for before, after in zip(WELL.sites, told.sites, strict=True):
        assert (after.name, after.server_number, after.system_id, after.observed_at) == (
            before.name, before.server_number, before.system_id, before.observed_at,
        )  # fmt: skip
        assert after.state == after.files == after.backup == after.raid == after.disk == "Unknown"
        assert after.parked_rows is None
        assert [peer.name for peer in after.peers] == [peer.name for peer in before.peers]
        assert {(peer.state, peer.lag_bytes, peer.replication_active) for peer in after.peers} == {
            ("Unknown", None, "Unknown")
        }
