"""`multiserver backup` ends with the true result, whatever the agent does."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from multiserver.backup import command
from multiserver.backup.command import follow
from multiserver.backup.errors import BackupError

Answer = httpx.Response | Exception


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(command, "SILENCE_SECONDS_MAX", 0.05)


def agent(answers: Iterator[Answer]) -> httpx.Client:
    """Give a client of an agent that gives these answers, one after the other."""

    def answer(request: httpx.Request) -> httpx.Response:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    return httpx.Client(base_url="https://lab-berlin-server:8443", transport=httpx.MockTransport(answer))


def accepted() -> httpx.Response:
    return httpx.Response(202, json={"id": "data-1"})


def state(name: str, progress: str = "", message: str = "") -> httpx.Response:
    return httpx.Response(200, json={"state": name, "progress": progress, "message": message})


def silence() -> Exception:
    return httpx.ConnectError("connection refused")


def test_success_is_told_after_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        accepted(),
        state("running", "50 %"),
        state("running", "50 %"),
        state("succeeded", "100 %", "done in 7 s"),
    ]
    assert follow(agent(iter(answers)), "data", 60) == "backup of data succeeded: done in 7 s"
    assert capsys.readouterr().out.splitlines() == ["50 %", "100 %"]


def test_failure_is_told_with_its_reason() -> None:
    with pytest.raises(BackupError, match="backup of data failed: the volume is full"):
        follow(agent(iter([accepted(), state("failed", message="the volume is full")])), "data", 60)


def test_a_short_silence_of_the_agent_does_no_harm() -> None:
    answers = [silence(), accepted(), silence(), state("running"), silence(), state("succeeded", message="done")]
    assert follow(agent(iter(answers)), "data", 60) == "backup of data succeeded: done"


def test_an_agent_that_was_restarted_has_failed_the_backup() -> None:
    with pytest.raises(BackupError, match="it was restarted, and the backup ended with it"):
        follow(agent(iter([accepted(), httpx.Response(404)])), "data", 60)


@pytest.mark.parametrize("code", [400, 403, 404, 500])
def test_a_refusal_is_told(code: int) -> None:
    with pytest.raises(BackupError, match=f"refuses /v1/backups with {code}: not for you"):
        follow(agent(iter([httpx.Response(code, text="not for you")])), "data", 60)


def endless(make: Callable[[], Answer]) -> Iterator[Answer]:
    while True:
        yield make()


def test_an_agent_that_is_gone_fails_the_backup() -> None:
    with pytest.raises(
        BackupError, match=r"agent at https://lab-berlin-server:8443 does not answer .*: connection refused"
    ):
        follow(agent(endless(silence)), "data", 60)


def test_the_deadline_ends_the_waiting() -> None:
    def answers() -> Iterator[Answer]:
        yield accepted()
        yield from endless(lambda: state("running"))

    with pytest.raises(BackupError, match=r"had no result after 0\.05 s"):
        follow(agent(answers()), "data", 0.05)
