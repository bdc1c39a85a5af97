"""`multiserver verify` asks the agent, waits for a result newer than the question, and ends with it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import repeat

import httpx
import pytest

from multiserver.agent import verify_command
from multiserver.agent.verify_command import follow, is_equal, sentence
from multiserver.api.report import TableDifference, Verification
from multiserver.backup import command
from multiserver.backup.errors import BackupError
from tests.unit.agent.reports import peer_report, site_report

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def report(result: Verification) -> str:
    return json.dumps(site_report(NOON, peers=(peer_report(NOON, verification=result),)).wire())


def agent(answers: Iterator[str | Exception]) -> httpx.Client:
    """Make a client of an agent that gives these reports one after the other, the first when it is asked to compare."""
    is_asked = False

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal is_asked
        if isinstance(given := next(answers), Exception):
            raise given
        assert (request.method, request.url.path) == (
            ("GET", "/v1/report") if is_asked else ("POST", "/v1/verifications")
        )
        is_asked = True
        return httpx.Response(200, text=given)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://agent")


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "POLL_SECONDS", 0)
    monkeypatch.setattr(verify_command, "POLL_SECONDS", 0)


@pytest.mark.parametrize("attempted_at", [NOON, NOON.replace(year=2999)], ids=["earlier", "by a clock that was ahead"])
def test_an_old_result_is_not_taken_for_the_answer(capsys: pytest.CaptureFixture[str], attempted_at: datetime) -> None:
    now = datetime.now(UTC)
    old = Verification(verified_at=now, attempted_at=attempted_at, is_equal=False)
    new = Verification(verified_at=now, attempted_at=now + timedelta(minutes=1), is_equal=True, tables=4)
    answers = iter([report(old), report(old), report(new)])
    assert list(follow(agent(answers), 60)) == [True]
    assert next(answers, None) is None
    assert capsys.readouterr().out == "hamburg: all rows of 4 tables are equal\n"


def test_requests_that_are_lost_do_no_harm() -> None:
    now = datetime.now(UTC)
    new = Verification(verified_at=now, attempted_at=now, is_equal=True, tables=4)
    lost = httpx.ConnectError("connection refused")
    assert list(follow(agent(iter([lost, report(Verification()), lost, lost, report(new)])), 60)) == [True]


def test_an_agent_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SILENCE_SECONDS_MAX", 0.05)
    with pytest.raises(BackupError, match="the agent at http://agent does not answer"):
        list(follow(agent(repeat(httpx.ConnectError("connection refused"))), 60))


def test_without_an_answer_it_gives_up() -> None:
    with pytest.raises(TimeoutError, match="no result within 0 s"):
        list(follow(agent(iter([report(Verification())] * 3)), 0))


def test_a_difference_is_named_and_what_is_not_known_is_not_equal() -> None:
    table = TableDifference(table="public.patient", rows=2, damaged=1, examples=("(7)", "(8)"))
    differs = Verification(verified_at=NOON, is_equal=False, differences=(table,))
    assert sentence(peer_report(NOON, verification=differs)) == (
        "hamburg: different: public.patient: 2 rows (1 damaged), such as (7), (8)"
    )
    unknown = Verification(verified_at=NOON, is_equal=True, message="no route to host")
    assert sentence(peer_report(NOON, verification=unknown)) == "hamburg: not known: no route to host"
    assert [is_equal(differs), is_equal(unknown)] == [False, False]
