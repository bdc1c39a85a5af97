"""A round for a resource that cannot be read, or one that fails: it is told, and nothing else is done."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

import pytest

from multiserver.api.status import Status
from multiserver.control import loop as rounds
from multiserver.control import observe
from multiserver.control.credentials import Credentials
from multiserver.control.loop import UNREADABLE_SECONDS, Loop
from multiserver.control.observe import Observer
from multiserver.control.queue import Key, Outcome
from multiserver.health.status import status
from multiserver.kube.errors import KubernetesError, RefusedError, UnreachableError
from tests.unit.control.test_observe import KEY, KubernetesOf
from tests.unit.control.test_plan import settled
from tests.unit.control.world import SITE_IMAGE
from tests.unit.health.views import a_view

WELL = status(a_view(), Status())


class Recording(KubernetesOf):
    """An API server that holds the resource as a newer operator's user wrote it, and notes all that is written."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(settled())
        self.spec = spec
        self.status: dict[str, Any] = WELL.wire()
        self.events: list[str] = []

    async def find(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        resource = await super().find(kind, namespace, name)
        assert resource is not None
        return {**resource, "spec": {**resource["spec"], **self.spec}, "status": self.status}

    async def create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self.events.append(wanted["message"])
        return wanted

    async def apply_status(self, _cluster: dict[str, Any], told: dict[str, Any]) -> None:
        self.status = told


class FailingObserver:
    """An observer that meets an error; without one, it finds that the resource is gone."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def observe(self, _key: Key, _changed: bool) -> None:
        if self.error is not None:
            raise self.error


class Clock(datetime):
    """A clock that goes on by an hour whenever it is read."""

    hours = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        cls.hours += 1
        return cls(2026, 3, 1, cls.hours, tzinfo=tz)


@pytest.fixture
def credentials() -> Iterator[Credentials]:
    made = Credentials()
    yield made
    made.close()


async def test_a_field_that_cannot_be_read_is_told_with_the_way_out_and_nothing_else_is_written(credentials):
    sites = [{"name": "berlin", "serverNumber": "first"}, {"name": "hamburg"}]
    kubernetes, told = Recording(deletionPolicy="Archive", sites=sites), []
    observer = Observer(kubernetes, credentials, SITE_IMAGE, "multiserver-system")
    loop = Loop(kubernetes, observer, lambda key, now: told.append((key, now)))

    assert await loop.round(KEY, changed=True) == Outcome(again_seconds=UNREADABLE_SECONDS)

    summary = kubernetes.status["summary"]
    assert "spec.sites[0].serverNumber: Input should be a valid integer" in summary
    assert (
        "spec.deletionPolicy: Input should be 'Retain' or 'Delete'. If that is written for a newer operator" in summary
    )
    assert "Archive" not in summary, "a value may be a secret"
    assert told == [(KEY, Status.model_validate(kubernetes.status))]
    assert f"Ready is Unknown: {summary}" in kubernetes.events


async def test_it_is_told_once_with_the_time_since_when_and_ends_with_the_correction(credentials, monkeypatch):
    monkeypatch.setattr(observe, "datetime", Clock)
    kubernetes = Recording(deletionPolicy="Archive")
    observer = Observer(kubernetes, credentials, SITE_IMAGE, "multiserver-system")
    loop = Loop(kubernetes, observer, lambda _key, _now: None)
    await loop.round(KEY, changed=True)
    first, events = kubernetes.status, len(kubernetes.events)

    assert "cannot read the resource since 2026-03-01 01:00:00 UTC" in first["summary"]

    await loop.round(KEY, changed=True)
    assert kubernetes.status is first
    assert len(kubernetes.events) == events

    kubernetes.spec = {}
    seen = await observer.observe(KEY, changed=True)
    assert seen.snapshot.cluster.spec.deletion_policy == "Retain"

    kubernetes.spec = {"deletionPolicy": "Archive"}
    assert "since 2026-03-01 04:00:00 UTC" in (await observer.observe(KEY, changed=True)).why


async def test_of_many_fields_the_first_are_named_and_the_rest_is_counted(credentials):
    kubernetes = Recording(numberRanges=[{} for _ in range(3)])
    observer = Observer(kubernetes, credentials, SITE_IMAGE, "multiserver-system")

    found = await observer.observe(KEY, changed=True)

    assert "spec.numberRanges[0].sequence: Field required" in found.why
    assert "; and 3 more. If" in found.why


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("a secret"), "KeyError, which its log has in full. "),
        (RefusedError("cannot list CronJobs: forbidden"), "cannot list CronJobs: forbidden. "),
    ],
)
async def test_a_round_that_fails_leaves_nothing_standing_that_was_known_before(credentials, monkeypatch, error, told):
    monkeypatch.setattr(rounds, "datetime", Clock)
    kubernetes, metrics = Recording(), []
    loop = Loop(kubernetes, FailingObserver(error), lambda _key, now: metrics.append(now))

    for _ in range(2):
        with pytest.raises(type(error)):
            await loop.round(KEY, changed=True)

    now = Status.model_validate(kubernetes.status)
    assert f"the operator failed since 2026-03-01 0{Clock.hours - 1}:00:00 UTC: {told}" in now.summary
    assert {condition.reason for condition in now.conditions} == {"OperatorFailed"}
    assert [condition.type for condition in now.conditions if condition.status != "Unknown"] == ["Stalled"]
    assert "a secret" not in now.summary
    assert metrics == [now, now]


async def test_a_failure_that_ended_and_came_again_is_told_with_its_new_time(credentials, monkeypatch):
    monkeypatch.setattr(rounds, "datetime", Clock)
    kubernetes, observer = Recording(), FailingObserver(KeyError())
    loop = Loop(kubernetes, observer, lambda _key, _now: None)
    with pytest.raises(KeyError):
        await loop.round(KEY, changed=True)
    first = kubernetes.status["summary"]
    observer.error = None
    assert (await loop.round(KEY, changed=True)).gone
    observer.error = KeyError()
    with pytest.raises(KeyError):
        await loop.round(KEY, changed=True)

    assert kubernetes.status["summary"] != first


async def test_an_api_server_that_is_away_for_a_moment_changes_no_status(credentials):
    kubernetes = Recording()

    with pytest.raises(UnreachableError):
        await Loop(kubernetes, FailingObserver(UnreachableError("no answer")), lambda _key, _now: None).round(KEY, True)

    assert kubernetes.status == WELL.wire()


async def test_a_failure_that_cannot_be_told_either_is_raised_all_the_same(credentials, monkeypatch, caplog):
    kubernetes = Recording()

    async def refuses(_cluster: dict[str, Any], _told: dict[str, Any]) -> None:
        raise KubernetesError("cannot apply the status: forbidden")

    monkeypatch.setattr(kubernetes, "apply_status", refuses)

    with pytest.raises(ZeroDivisionError):
        await Loop(kubernetes, FailingObserver(ZeroDivisionError()), lambda _key, _now: None).round(KEY, True)

    assert "the status does not show that the round failed: cannot apply the status: forbidden" in caplog.text
