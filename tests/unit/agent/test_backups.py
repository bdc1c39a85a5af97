import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multiserver.agent import last_runs
from multiserver.agent.backups import REMEMBERED_MAX, BackupRuns, MakeBackup, Report
from multiserver.agent.last_runs import LastRuns, Run, State


class Maker:
    """A backup that ends when told."""

    def __init__(self) -> None:
        self.started = 0
        self.reported = asyncio.Event()
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, report: Report) -> str:
        self.started += 1
        report("copying 40 %")
        self.reported.set()
        return await self.end


NewAgent = Callable[..., BackupRuns]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the site keeps how its last backups ended."""
    return tmp_path / "last-backups.json"


@pytest.fixture
def new_agent(kept: Path) -> NewAgent:
    """Start the backups of an agent of the site, which knows what those before it have left."""

    def start(on_end: Callable[[], None] = lambda: None, **makers: MakeBackup) -> BackupRuns:
        return BackupRuns(makers, on_end, LastRuns(kept))

    return start


async def ended(backups: BackupRuns, run: Run) -> Run:
    await asyncio.wait_for(backups.finished(run.id), 5)
    done = backups.get(run.id)
    assert done is not None
    return done


async def test_a_backup_is_followed_to_its_true_result(new_agent: NewAgent) -> None:
    maker, ends = Maker(), []
    backups = new_agent(lambda: ends.append("ended"), data=maker)
    run = backups.start("data")
    await maker.reported.wait()
    now = backups.get(run.id)
    assert now is not None
    assert (now.state, now.progress, ends) == (State.RUNNING, "copying 40 %", [])
    maker.end.set_result("20260101-120000F, 12 MB")
    done = await ended(backups, run)
    assert (done.state, done.message, ends) == (State.SUCCEEDED, "20260101-120000F, 12 MB", ["ended"])
    assert done.ended is not None


async def test_a_failure_says_why(new_agent: NewAgent) -> None:
    maker = Maker()
    backups = new_agent(data=maker)
    run = backups.start("data")
    maker.end.set_exception(OSError("repository is full"))
    done = await ended(backups, run)
    assert (done.state, done.message) == (State.FAILED, "repository is full")


async def test_a_second_request_joins_the_backup_under_way(new_agent: NewAgent) -> None:
    data, files = Maker(), Maker()
    backups = new_agent(data=data, files=files)
    first = backups.start("data")
    await data.reported.wait()
    assert backups.start("data").id == first.id
    assert backups.start("files").id != first.id
    assert data.started == 1
    await backups.stop()


async def test_the_next_backup_after_one_that_ended_is_a_new_one(new_agent: NewAgent) -> None:
    maker = Maker()
    maker.end.set_result("done")
    backups = new_agent(data=maker)
    first = await ended(backups, backups.start("data"))
    assert backups.start("data").id != first.id
    await backups.stop()


async def test_stopping_the_agent_ends_the_backup_as_failed(new_agent: NewAgent) -> None:
    maker = Maker()
    backups = new_agent(data=maker)
    run = backups.start("data")
    await maker.reported.wait()
    await backups.stop()
    done = await ended(backups, run)
    assert (done.state, done.message) == (State.FAILED, "the agent was stopped")


async def test_only_so_many_backups_are_remembered(new_agent: NewAgent) -> None:
    maker = Maker()
    maker.end.set_result("done")
    backups = new_agent(data=maker)
    first = await ended(backups, backups.start("data"))
    for _ in range(REMEMBERED_MAX):
        await ended(backups, backups.start("data"))
    assert backups.get(first.id) is None


async def test_a_backup_under_way_is_not_forgotten_however_many_end_meanwhile(new_agent: NewAgent) -> None:
    data, files = Maker(), succeeds()
    backups = new_agent(data=data, files=files)
    slow = backups.start("data")
    await data.reported.wait()
    for _ in range(REMEMBERED_MAX):
        await ended(backups, backups.start("files"))
    assert backups.start("data").id == slow.id
    data.end.set_result("done")
    assert (await ended(backups, slow)).state is State.SUCCEEDED


def fails() -> Maker:
    maker = Maker()
    maker.end.set_exception(OSError("the volume is full"))
    return maker


def succeeds() -> Maker:
    maker = Maker()
    maker.end.set_result("done")
    return maker


async def messages(backups: BackupRuns) -> dict[str, str]:
    return {kind: run.message for kind, run in (await backups.last_failures()).items()}


async def test_a_failure_is_known_to_the_next_agents_until_a_backup_succeeds(new_agent: NewAgent) -> None:
    first = new_agent(data=fails(), files=succeeds())
    failed = await ended(first, first.start("data"))
    await ended(first, first.start("files"))
    for _ in range(2):
        assert await new_agent(data=Maker(), files=Maker()).last_failures() == {"data": failed}
    last = new_agent(data=succeeds())
    await ended(last, last.start("data"))
    assert await last.last_failures() == {}
    assert await new_agent(data=Maker()).last_failures() == {}


async def test_a_failure_stays_told_while_the_next_backup_is_under_way(new_agent: NewAgent) -> None:
    before = new_agent(data=fails())
    await ended(before, before.start("data"))
    maker = Maker()
    backups = new_agent(data=maker)
    backups.start("data")
    await maker.reported.wait()
    assert await messages(backups) == {"data": "the volume is full"}
    await backups.stop()


async def test_a_backup_in_the_middle_of_which_the_agent_is_killed_has_failed(new_agent: NewAgent) -> None:
    data, files = Maker(), Maker()
    killed = new_agent(data=data, files=files)
    killed.start("data")
    killed.start("files")
    await data.reported.wait()
    await files.reported.wait()
    told = "the agent ended in the middle of it"
    assert await messages(new_agent(data=Maker(), files=Maker())) == {"data": told, "files": told}
    assert await messages(killed) == {}, "it is still under way there"
    await killed.stop()


@pytest.fixture
def unreadable(kept: Path) -> None:
    kept.write_text("{half")


@pytest.mark.usefixtures("unreadable")
async def test_what_cannot_be_read_is_told_as_a_failure_until_a_backup_succeeds(
    new_agent: NewAgent, kept: Path
) -> None:
    backups = new_agent(data=succeeds(), files=Maker())
    assert set(await messages(backups)) == {"data", "files"}
    assert f"since {kept} cannot be read; make another one" in (await messages(backups))["data"]
    await ended(backups, backups.start("data"))
    assert set(await messages(new_agent(data=Maker(), files=Maker()))) == {"files"}


async def test_a_volume_that_cannot_be_written_stops_no_backup_and_is_told_in_the_log(
    new_agent: NewAgent, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept.parent.rmdir()
    backups = new_agent(data=succeeds())
    assert (await ended(backups, backups.start("data"))).state is State.SUCCEEDED
    assert f"{kept} cannot be written, so a restart forgets" in caplog.text


@pytest.fixture
def hanging_volume(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    over = threading.Event()
    monkeypatch.setattr(last_runs, "write_whole", lambda *_: over.wait(5))
    monkeypatch.setattr(last_runs, "ANSWER_SECONDS", 0.1)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_volume")
async def test_a_volume_that_hangs_holds_up_no_backup_for_long(
    new_agent: NewAgent, caplog: pytest.LogCaptureFixture
) -> None:
    backups = new_agent(data=succeeds())
    async with asyncio.timeout(3):
        assert (await ended(backups, backups.start("data"))).state is State.SUCCEEDED
    assert "so a restart forgets how the last backup ended: no answer within 0.1 s" in caplog.text
