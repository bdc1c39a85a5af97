"""`multiserver verify` asks the agent, waits for a result newer than the question, and ends with it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from multiserver.agent import verify_command
from multiserver.agent.verify_command import follow, is_equal, sentence
from multiserver.api.report import TableDifference, Verification
from tests.unit.agent.reports import peer_report, site_report

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def report(result: Verification) -> str:
    return json.dumps(site_report(NOON, peers=(peer_report(NOON, verification=result),)).wire())


def agent(answers: Iterator[str]) -> httpx.Client:
    """Make a client of an agent that gives these reports one after the other."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert request.url.path == "/v1/verifications"
            return httpx.Response(202, json={})
        return httpx.Response(200, text=next(answers))

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://agent")


@pytest.mark.parametrize("attempted_at", [NOON, NOON.replace(year=2999)], ids=["earlier", "by a clock that was ahead"])
def test_an_old_result_is_not_taken_for_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], attempted_at: datetime
) -> None:
    monkeypatch.setattr(verify_command, "POLL_SECONDS", 0)
    now = datetime.now(UTC)
    old = Verification(verified_at=now, attempted_at=attempted_at, is_equal=False)
    new = Verification(verified_at=now, attempted_at=now + timedelta(minutes=1), is_equal=True, tables=4)
    answers = iter([report(old), report(old), report(new)])
    assert list(follow(agent(answers), 60)) == [True]
    assert next(answers, None) is None
    assert capsys.readouterr().out == "hamburg: all rows of 4 tables are equal\n"


def test_without_an_answer_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_command, "POLL_SECONDS", 0)
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
