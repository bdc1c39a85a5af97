"""Workers: one round at a time for each cluster, woken by events, never ended by a fault."""

import asyncio

import pytest

from multiserver.control.queue import Key, Outcome, Workers
from multiserver.kube.errors import UnreachableError
from multiserver.postgres.deadlines import within

LAB: Key = ("clinic", "lab")
SHOP: Key = ("clinic", "shop")


class Rounds:
    """Rounds that are written down, and go on only when they are let."""

    def __init__(self, **outcome) -> None:
        self.seen: asyncio.Queue[tuple[Key, bool]] = asyncio.Queue()
        self.running = 0
        self.most_running = 0
        self.go_on = asyncio.Semaphore(0)
        self.outcome = Outcome(**{"again_seconds": 60.0, **outcome})

    async def __call__(self, key: Key, changed: bool) -> Outcome:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.seen.put((key, changed))
        await self.go_on.acquire()
        self.running -= 1
        return self.outcome


@pytest.fixture
async def limit():
    async with asyncio.timeout(5):
        yield


async def test_any_number_of_wakes_during_a_round_cause_one_more(limit):
    rounds = Rounds()
    workers = Workers(rounds)
    workers.wake(LAB)
    await rounds.seen.get()
    for _ in range(5):
        workers.wake(LAB)

    rounds.go_on.release()
    assert await rounds.seen.get() == (LAB, True)
    rounds.go_on.release()
    await asyncio.sleep(0)

    assert rounds.seen.empty()
    assert rounds.most_running == 1
    await workers.stop()


async def test_a_round_comes_by_itself_and_knows_that_nothing_was_seen_to_change(limit):
    rounds = Rounds(again_seconds=0.01)
    workers = Workers(rounds)
    workers.wake(LAB)
    assert await rounds.seen.get() == (LAB, True)

    rounds.go_on.release()

    assert await rounds.seen.get() == (LAB, False)
    await workers.stop()


async def test_who_takes_back_what_each_round_does_makes_no_loop_without_a_pause(limit):
    rounds = Rounds()
    workers = Workers(rounds, pause_seconds=0.2)
    loop = asyncio.get_running_loop()
    workers.wake(LAB)
    await rounds.seen.get()
    workers.wake(LAB)
    before = loop.time()
    rounds.go_on.release()

    assert await rounds.seen.get() == (LAB, True)

    assert loop.time() - before >= 0.2
    await workers.stop()


async def test_a_round_that_hangs_holds_up_no_other_cluster(limit):
    rounds = Rounds()
    workers = Workers(rounds)
    workers.wake(LAB)
    workers.wake(SHOP)

    assert {(await rounds.seen.get())[0], (await rounds.seen.get())[0]} == {LAB, SHOP}
    await workers.stop()


async def test_a_round_that_takes_too_long_is_cancelled_and_tried_again(limit):
    rounds = Rounds()
    workers = Workers(rounds, round_limit_seconds=0.01, error_pause_seconds=0.01)
    workers.wake(LAB)

    await rounds.seen.get()
    await rounds.seen.get()
    await workers.stop()


async def test_a_fault_in_a_round_does_not_end_the_worker(limit):
    tries = asyncio.Queue()

    async def fails(key: Key, changed: bool) -> Outcome:
        await tries.put(key)
        raise ValueError("a fault of ours")

    workers = Workers(fails, error_pause_seconds=0.01)
    workers.wake(LAB)

    await tries.get()
    await tries.get()
    await workers.stop()


async def test_a_cluster_that_is_made_again_while_its_end_is_noticed_gets_its_round(limit):
    rounds = Rounds(gone=True)
    workers = Workers(rounds)
    workers.wake(LAB)
    await rounds.seen.get()

    workers.wake(LAB)
    rounds.go_on.release()

    assert await rounds.seen.get() == (LAB, True)
    await workers.stop()


async def test_a_cluster_that_is_met_gets_a_worker_and_one_that_has_it_is_left_to_its_events(limit):
    rounds = Rounds()
    workers = Workers(rounds)
    workers.meet(LAB)
    assert await rounds.seen.get() == (LAB, True)
    workers.meet(LAB)
    rounds.go_on.release()
    workers.meet(SHOP)

    assert await rounds.seen.get() == (SHOP, True), "LAB waits for its own time"
    assert rounds.seen.empty()
    await workers.stop()


async def test_a_worker_of_a_gone_cluster_ends(limit):
    rounds = Rounds(gone=True)
    workers = Workers(rounds)
    workers.wake(LAB)
    await rounds.seen.get()
    (worker,) = (task for task in asyncio.all_tasks() if task.get_name() == "clinic/lab")

    rounds.go_on.release()
    await worker

    assert workers.seconds_since_round() == {}


async def test_an_api_server_that_is_away_is_one_line_in_the_log_each_time(limit, caplog):
    tries = asyncio.Queue()

    async def away(key: Key, changed: bool) -> Outcome:
        await tries.put(key)
        raise UnreachableError("cannot list Pods: no answer within 30 s")

    workers = Workers(away, error_pause_seconds=0.01)
    workers.wake(LAB)
    await tries.get()
    await tries.get()
    await workers.stop()

    told = caplog.records[0]
    assert told.getMessage() == "clinic/lab: cannot list Pods: no answer within 30 s; tried again in 0 s"
    assert told.exc_info is None


async def test_when_leadership_is_lost_the_rounds_end_before_the_watches_and_none_begins_anew(limit):
    rounds, watch_may_end, running_at_the_watches_end = Rounds(), asyncio.Event(), []
    workers = Workers(rounds)

    async def watch(wake):
        wake(LAB)
        try:
            await asyncio.Event().wait()
        finally:
            wake(SHOP)
            running_at_the_watches_end.extend(workers.seconds_since_round())
            await watch_may_end.wait()

    following = asyncio.create_task(workers.follow(watch))
    await rounds.seen.get()
    following.cancel()
    while not following.done():
        watch_may_end.set()
        await asyncio.sleep(0)

    assert running_at_the_watches_end == []
    assert rounds.seen.empty()


async def test_the_end_waits_for_a_query_that_was_told_to_stop(limit):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def query() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            ended.set()

    async def asks(key: Key, changed: bool) -> Outcome:
        await within(60, query())
        return Outcome()

    workers = Workers(asks)
    workers.wake(LAB)
    await begun.wait()
    await workers.stop()

    assert ended.is_set()


async def test_a_watch_that_fails_is_told_and_leaves_no_round_behind(limit):
    workers = Workers(Rounds())

    async def watch(wake):
        wake(LAB)
        raise ValueError("no watch")

    with pytest.raises(ValueError, match="no watch"):
        await workers.follow(watch)

    assert workers.seconds_since_round() == {}
