import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any, cast

import pytest

from multiserver.kube.client import Kubernetes
from multiserver.kube.errors import ConflictError, NotFoundError, UnreachableError
from multiserver.kube.lease import LeadershipLostError, Lease, lead


class Store:
    """One Lease as the API server keeps it: every write names the version that it changes."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.reachable = True
        self.answers_lost = 0
        self._version = 0

    async def find(self, *_: str) -> dict[str, Any] | None:
        self._reach()
        return deepcopy(self.lease)

    async def get(self, *_: str) -> dict[str, Any]:
        if (found := await self.find()) is None:
            raise NotFoundError("no Lease")
        return found

    async def create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self._reach()
        if self.lease is not None:
            raise ConflictError("it exists")
        return self._stored(wanted)

    async def replace(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self._reach()
        assert self.lease is not None
        if wanted["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("it changed")
        stored = self._stored(wanted)
        if self.answers_lost:
            self.answers_lost -= 1
            raise UnreachableError("the answer was lost")
        return stored

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    def _stored(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        self.lease = deepcopy(wanted)
        self.lease["metadata"]["resourceVersion"] = str(self._version)
        return deepcopy(self.lease)

    def _reach(self) -> None:
        if not self.reachable:
            raise UnreachableError("not reached")


def lease(identity: str) -> Lease:
    return Lease("system", "operator", identity, duration_seconds=1, renew_seconds=0.05)


def leading(store: Store, identity: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    return asyncio.create_task(lead(cast(Kubernetes, store), lease(identity), work))


class Work:
    """Work that goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def begun(work: Work) -> None:
    await asyncio.wait_for(work.begun.wait(), timeout=5)


async def ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait_for(task, timeout=5)


async def test_only_one_works_and_the_next_begins_when_the_first_is_done():
    store, first, second = Store(), Work(), Work()
    task = leading(store, "first", first)
    await begun(first)
    waiting = leading(store, "second", second)
    await asyncio.sleep(0.3)
    assert not second.begun.is_set()
    first.end.set()
    await ended(task)
    await begun(second)
    assert store.holder == "second"
    second.end.set()
    await ended(waiting)


async def test_a_holder_that_vanished_is_followed_after_the_duration_and_not_before():
    store, first, second = Store(), Work(), Work()
    task = leading(store, "first", first)
    await begun(first)
    store.reachable = False
    task.cancel()
    await asyncio.wait({task})
    store.reachable = True
    started = asyncio.get_running_loop().time()
    waiting = leading(store, "second", second)
    await begun(second)
    assert asyncio.get_running_loop().time() - started >= 1
    second.end.set()
    await ended(waiting)


async def test_a_holder_that_cannot_renew_stops_before_another_may_begin():
    store, work = Store(), Work()
    task = leading(store, "first", work)
    await begun(work)
    store.reachable = False
    started = asyncio.get_running_loop().time()
    with pytest.raises(LeadershipLostError, match="the Lease system/operator was lost"):
        await ended(task)
    assert asyncio.get_running_loop().time() - started < 1
    assert work.cancelled


async def test_a_holder_whose_lease_was_taken_stops_and_leaves_it_to_the_new_one():
    store, work = Store(), Work()
    task = leading(store, "first", work)
    await begun(work)
    assert store.lease is not None
    store.lease["spec"]["holderIdentity"] = "thief"
    store.lease["metadata"]["resourceVersion"] = "other"
    with pytest.raises(LeadershipLostError):
        await ended(task)
    assert (work.cancelled, store.holder) == (True, "thief")


async def test_a_renewal_whose_answer_was_lost_costs_no_leadership():
    store, work = Store(), Work()
    task = leading(store, "first", work)
    await begun(work)
    store.answers_lost = 1
    await asyncio.sleep(0.5)
    assert (store.answers_lost, work.cancelled) == (0, False)
    work.end.set()
    await ended(task)


async def test_waiting_outlives_a_server_that_is_not_reached():
    store, work = Store(), Work()
    store.reachable = False
    task = leading(store, "first", work)
    await asyncio.sleep(0.1)
    store.reachable = True
    await begun(work)
    work.end.set()
    await ended(task)


async def test_a_failure_of_the_work_is_raised_and_the_lease_given_back():
    async def failing() -> None:
        raise ZeroDivisionError

    store = Store()
    with pytest.raises(ZeroDivisionError):
        await ended(leading(store, "first", failing))
    assert store.holder == ""


async def test_one_who_is_stopped_gives_the_lease_back():
    store, work = Store(), Work()
    task = leading(store, "first", work)
    await begun(work)
    task.cancel()
    await asyncio.wait({task})
    assert (work.cancelled, store.holder) == (True, "")
