import asyncio

from multiserver.agent.backups import REMEMBERED_MAX, BackupRuns, Report, Run, State


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


async def ended(backups: BackupRuns, run: Run) -> Run:
    await asyncio.wait_for(backups.finished(run.id), 5)
    done = backups.get(run.id)
    assert done is not None
    return done


async def test_a_backup_is_followed_to_its_true_result() -> None:
    maker, ends = Maker(), []
    backups = BackupRuns({"data": maker}, lambda: ends.append("ended"))
    run = backups.start("data")
    await maker.reported.wait()
    now = backups.get(run.id)
    assert now is not None
    assert (now.state, now.progress, ends) == (State.RUNNING, "copying 40 %", [])
    maker.end.set_result("20260101-120000F, 12 MB")
    done = await ended(backups, run)
    assert (done.state, done.message, ends) == (State.SUCCEEDED, "20260101-120000F, 12 MB", ["ended"])
    assert done.ended is not None


async def test_a_failure_says_why() -> None:
    maker = Maker()
    backups = BackupRuns({"data": maker}, lambda: None)
    run = backups.start("data")
    maker.end.set_exception(OSError("repository is full"))
    done = await ended(backups, run)
    assert (done.state, done.message) == (State.FAILED, "repository is full")


async def test_a_second_request_joins_the_backup_under_way() -> None:
    data, files = Maker(), Maker()
    backups = BackupRuns({"data": data, "files": files}, lambda: None)
    first = backups.start("data")
    await data.reported.wait()
    assert backups.start("data").id == first.id
    assert backups.start("files").id != first.id
    assert data.started == 1
    await backups.stop()


async def test_the_next_backup_after_one_that_ended_is_a_new_one() -> None:
    maker = Maker()
    maker.end.set_result("done")
    backups = BackupRuns({"data": maker}, lambda: None)
    first = await ended(backups, backups.start("data"))
    assert backups.start("data").id != first.id
    await backups.stop()


async def test_stopping_the_agent_ends_the_backup_as_failed() -> None:
    maker = Maker()
    backups = BackupRuns({"data": maker}, lambda: None)
    run = backups.start("data")
    await maker.reported.wait()
    await backups.stop()
    done = await ended(backups, run)
    assert (done.state, done.message) == (State.FAILED, "the agent was stopped")


async def test_only_so_many_backups_are_remembered() -> None:
    maker = Maker()
    maker.end.set_result("done")
    backups = BackupRuns({"data": maker}, lambda: None)
    first = await ended(backups, backups.start("data"))
    for _ in range(REMEMBERED_MAX):
        await ended(backups, backups.start("data"))
    assert backups.get(first.id) is None
