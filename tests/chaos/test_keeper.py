"""The keeper's small parts, without a server."""

import psycopg
import pytest

from multiserver.replication.observe import Completeness, DatabaseFacts, Slot
from tests.chaos.keeper import has_all_of, until

NOW = "2026-11-27T12:00:00Z"


def facts(number: int, **changes: object) -> DatabaseFacts:
    return DatabaseFacts.model_validate(
        {
            "observed_at": NOW,
            "system_identifier": "1",
            "server_version": "18",
            "is_in_recovery": False,
            "owner_may_login": True,
            "pending_restarts": (),
            "server_number": number,
            "incarnation": f"history {number}",
            **changes,
        }
    )


def slot(birth: str | None) -> Slot:
    return Slot(
        peer_number=1,
        active=True,
        wal_status="reserved",
        lag_bytes=0,
        retained_bytes=0,
        inactive_since=None,
        birth=birth,
    )


def link(birth: str | None = "birth", incarnation: str = "history 2", doubted_at: str | None = None) -> Completeness:
    return Completeness.model_validate(
        {"peer_number": 2, "peer_incarnation": incarnation, "slot_birth": birth, "doubted_at": doubted_at}
    )


def test_a_condition_that_a_dead_server_leaves_open_is_asked_again() -> None:
    answers = iter((False, psycopg.OperationalError("gone"), True))

    def condition() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert list(until("something", condition)) == ["something", "something"]


def test_a_mistake_in_an_act_is_not_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        list(until("something", lambda: 1 / 0 > 0))


@pytest.mark.parametrize(
    ("noted", "slots", "has_all"),
    [
        (link(), [slot("birth")], True),
        (link("earlier"), [slot("birth")], False),
        (link(doubted_at=NOW), [slot("birth")], False),
        (link(incarnation="another"), [slot("birth")], False),
        (link(None), [slot(None)], False),
        (link(), [], False),
    ],
)
def test_a_site_has_all_of_a_peer_if_its_link_vouches_for_the_peers_slot(
    noted: Completeness, slots: list[Slot], has_all: bool
) -> None:
    assert has_all_of(facts(1, links=(noted,)), facts(2, slots=tuple(slots))) is has_all
