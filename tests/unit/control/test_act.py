"""Doing the plan: what one peer or one site lacks holds up no other."""

import asyncio
from typing import Any

import pytest

from multiserver.control import act
from multiserver.control.act import Actor
from multiserver.control.plan import Plan
from multiserver.control.plan import actions as do
from multiserver.kube.errors import RefusedError
from multiserver.postgres.errors import StatementFailed, Unavailable
from multiserver.replication.links import NotReady
from tests.clusters import a_cluster


class Acting(Actor):
    """An actor whose actions do what the test says."""

    def __init__(self, outcomes: dict[str, Any]) -> None:
        super().__init__(None, a_cluster("berlin", "hamburg", "leipzig"), None, None)  # type: ignore[arg-type]
        self.outcomes = outcomes
        self.tried: list[str] = []

    async def _do(self, action: do.Action) -> bool:
        self.tried.append(action.words)
        match self.outcomes.get(action.words):
            case Exception() as error:
                raise error
            case float() as seconds:
                await asyncio.sleep(seconds)
            case asyncio.Event() as line_is_back:
                try:
                    await asyncio.sleep(3600)
                finally:
                    await line_is_back.wait()
        return True


async def test_a_peer_that_is_away_keeps_a_site_from_no_other_peer():
    actor = Acting({"subscribe berlin to hamburg": NotReady("hamburg is cut off")})

    done = await actor.run(
        Plan(sites={"berlin": (do.Subscribe("berlin", "hamburg"), do.Subscribe("berlin", "leipzig"))})
    )

    assert actor.tried == ["subscribe berlin to hamburg", "subscribe berlin to leipzig"]
    assert done.waiting == ("subscribe berlin to hamburg: hamburg is cut off",)


async def test_a_shared_object_that_is_refused_keeps_no_database_from_anything_and_lets_no_pod_go():
    shared, own = ({"kind": "Service", "metadata": {"name": name}} for name in ("lab", "lab-berlin"))
    actor = Acting({"apply Service lab": RefusedError("not by this policy")})

    done = await actor.run(
        Plan(
            cluster=(do.Apply(shared), do.Delete(shared)),
            sites={
                "berlin": (do.Apply(own), do.MakeSlot("berlin", "hamburg"), do.RestartPod("berlin", {})),
                "hamburg": (do.ForgetSite("hamburg", 3, "leipzig"),),
            },
        )
    )

    assert actor.tried == ["apply Service lab", "make the slot for hamburg at berlin", "forget leipzig at hamburg"]
    assert [(failure.site, failure.action) for failure in done.failures] == [(None, "apply Service lab")]


async def test_a_site_does_not_open_while_its_slots_wait():
    actor = Acting({"make the slot for hamburg at berlin": NotReady("no")})

    await actor.run(Plan(sites={"berlin": (do.MakeSlot("berlin", "hamburg"), do.OpenSite("berlin"))}))

    assert actor.tried == ["make the slot for hamburg at berlin"]


async def test_a_site_whose_actions_never_end_lets_the_round_end_and_tell_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(act, "SITE_SECONDS_MAX", 0.05)
    actor = Acting({"open berlin for the application": 3600.0})

    done = await actor.run(Plan(sites={"berlin": (do.OpenSite("berlin"),), "hamburg": (do.OpenSite("hamburg"),)}))

    assert "open hamburg for the application" in actor.tried
    assert [(failure.site, failure.refused) for failure in done.failures] == [("berlin", False)]


async def test_a_query_that_cannot_even_be_cancelled_lets_the_round_end_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(act, "SITE_SECONDS_MAX", 0.05)
    line_is_back = asyncio.Event()
    actor = Acting({"open berlin for the application": line_is_back})

    async with asyncio.timeout(5):
        done = await actor.run(Plan(sites={"berlin": (do.OpenSite("berlin"),)}))

    assert [failure.site for failure in done.failures] == ["berlin"]
    line_is_back.set()


async def test_a_volume_that_cannot_grow_keeps_its_site_from_nothing_else():
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "lab-berlin-data"}}
    actor = Acting({"apply PersistentVolumeClaim lab-berlin-data": RefusedError("only dynamically provisioned")})

    done = await actor.run(Plan(sites={"berlin": (do.Apply(claim, live=claim), do.Subscribe("berlin", "hamburg"))}))

    assert actor.tried[-1] == "subscribe berlin to hamburg"
    assert [(failure.action, failure.refused) for failure in done.failures] == [
        ("apply PersistentVolumeClaim lab-berlin-data", True)
    ]


async def test_a_volume_that_cannot_be_made_keeps_its_pod_from_being_made_and_its_database_from_nothing():
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "lab-berlin-data"}}
    server = {"kind": "StatefulSet", "metadata": {"name": "lab-berlin"}}
    actor = Acting({"apply PersistentVolumeClaim lab-berlin-data": RefusedError("quota")})

    await actor.run(
        Plan(
            sites={
                "berlin": (
                    do.Apply(claim), do.Apply(server), do.Subscribe("berlin", "hamburg"), do.RestartPod("berlin", {})
                )
            }
        )
    )  # fmt: skip

    assert actor.tried == ["apply PersistentVolumeClaim lab-berlin-data", "subscribe berlin to hamburg"]


async def test_what_cannot_be_done_in_a_database_holds_up_what_needs_it_there():
    actor = Acting({"make the slot for hamburg at berlin": Unavailable("away")})

    await actor.run(Plan(sites={"berlin": (do.MakeSlot("berlin", "hamburg"), do.OpenSite("berlin"))}))

    assert actor.tried == ["make the slot for hamburg at berlin"]


@pytest.mark.parametrize(
    ("sqlstate", "refused"),
    [("55P03", False), ("40P01", False), ("53300", False), ("55006", False), ("55000", True), ("MS020", True)],
)
async def test_a_statement_that_may_succeed_later_is_no_refusal(sqlstate, refused):
    actor = Acting({"set the number ranges of berlin": StatementFailed("no", sqlstate, None)})

    done = await actor.run(Plan(sites={"berlin": (do.SetRanges("berlin"),)}))

    assert [failure.refused for failure in done.failures] == [refused]
